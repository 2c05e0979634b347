package half

var tests = 0.5
