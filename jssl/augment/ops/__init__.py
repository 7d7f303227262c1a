"""Operations on images as pure functions that one key, if any, decides; Pillow's results."""
