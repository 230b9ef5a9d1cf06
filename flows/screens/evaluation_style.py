"""The style sheet of the results page: system fonts, light or dark as the reader's screen is."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark;
  --ink: #1b1f24; --soft: #5b6672; --line: #d5dbe1; --back: #ffffff; --card: #f6f8fa;
  --mark: #2563b0; --asked: #e7c98a; --heard: #c9d9ec;
  --right: #d3ecd6; --part: #f6e9c4; --wrong: #f5d3d0; --join: #a8322a; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e3e7eb; --soft: #97a2ad; --line: #343b43; --back: #14171a; --card: #1c2025;
  --mark: #6aa5ee; --asked: #6b5321; --heard: #2b425e;
  --right: #1f4527; --part: #4d4118; --wrong: #55241f; --join: #f08a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 36px 0 8px; }
h2 small { font-size: 13px; font-weight: normal; color: var(--soft); }
h3 { font-size: 15px; margin: 0; overflow-wrap: anywhere; }
.facts { color: var(--soft); margin: 2px 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 720px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.name { font-weight: 600; }
.soft { color: var(--soft); }
svg.range { display: block; width: 150px; height: 16px; }
svg.range .track { stroke: var(--line); stroke-width: 2; }
svg.range .span { stroke: var(--mark); stroke-width: 4; opacity: .45; }
svg.range .point { fill: var(--mark); }
svg.range .chance { stroke: var(--ink); stroke-width: 1.5; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 16px; margin: 14px 0; }
.prompt { margin: 4px 0 10px; overflow-wrap: anywhere; }
audio { width: 100%; height: 36px; }
.marks { margin: 8px 0; line-height: 2; }
.marks span { border: 1px solid var(--line); border-radius: 10px; padding: 2px 8px;
  font-size: 13px; white-space: nowrap; }
.marks .right { background: var(--right); } .marks .part { background: var(--part); }
.marks .wrong { background: var(--wrong); }
svg.clip { display: block; width: 100%; min-width: 640px; margin: 6px 0;
  font: 12px system-ui, sans-serif; }
svg.clip text { fill: var(--ink); }
svg.clip .note, svg.clip .lane { fill: var(--soft); font-size: 10px; }
svg.clip .pitch { fill: var(--soft); font-size: 9px; }
svg.clip rect.asked { fill: var(--asked); } svg.clip rect.heard { fill: var(--heard); }
svg.clip rect.back { fill: var(--back); } svg.clip image { image-rendering: pixelated; }
svg.clip .boundary { stroke: var(--ink); stroke-dasharray: 4 3; stroke-width: 1; opacity: .7; }
svg.clip .beat { stroke: var(--mark); stroke-width: 1.5; } svg.clip .beat.asked { stroke: #b5872a; }
svg.clip .outline { fill: var(--soft); opacity: .55; }
svg.clip .own { fill: var(--line); opacity: .45; } svg.clip .grid { stroke: var(--line); }
svg.clip .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg.clip .curve.asked { stroke: #b5872a; stroke-width: 5; opacity: .55; }
svg.clip .curve.heard { stroke: var(--mark); }
svg.clip .join { stroke: var(--join); stroke-width: 1.5; stroke-dasharray: 2 3; }
svg.clip text.join { fill: var(--join); stroke: none; font-size: 10px; }
svg.clip .tone.asked { fill: var(--asked); } svg.clip .tone.heard { fill: var(--mark); }
.forms { display: flex; flex-wrap: wrap; gap: 18px; margin: 8px 0; }
.forms figure { margin: 0; } .forms figcaption { color: var(--soft); font-size: 13px; }
.forms img { display: block; width: min(180px, 38vw); aspect-ratio: 1; image-rendering: pixelated;
  border: 1px solid var(--line); background: var(--back); }
ul.near { margin: 6px 0; padding-left: 18px; }
dl { display: grid; grid-template-columns: 56px 1fr; gap: 2px 8px; margin: 8px 0 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
pre { margin: 0; overflow-x: auto; font: 12.5px/1.45 ui-monospace, monospace; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--soft); }
"""
