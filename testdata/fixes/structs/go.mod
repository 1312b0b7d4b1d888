module fixes

go 1.25
