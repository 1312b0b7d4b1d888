module labelled

go 1.25
