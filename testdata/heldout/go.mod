module heldout

go 1.25
