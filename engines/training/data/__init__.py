"""Recorded people and labelled photographs: what trainings and evaluations read."""
