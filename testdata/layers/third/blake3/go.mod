module lukechampine.com/blake3

go 1.26.8
