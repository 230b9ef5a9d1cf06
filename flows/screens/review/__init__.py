"""The page on which labels are set right: the listening page, served to one reader."""
