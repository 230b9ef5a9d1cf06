"""What is done with labels: moved with the audio, compared, laid out as a lead sheet."""
