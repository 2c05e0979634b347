module daulat/data/nested
