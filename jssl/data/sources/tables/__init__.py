"""Tables in files, Arrow and Parquet, of which one column is an image: read row by row."""
