"""The program: command line, Config to pipeline, camera setup, demo, signals, calibration."""
