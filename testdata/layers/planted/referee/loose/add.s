// Assembly has no place here.
