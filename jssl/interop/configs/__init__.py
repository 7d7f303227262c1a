"""Whole configs of MMSelfSup and MMPretrain as configs of jssl: read, carried over, written."""
