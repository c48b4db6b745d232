"""Row security: a caller's statements see and change the rows alone that its policies let it."""
