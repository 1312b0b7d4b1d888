module example.org/focused

go 1.21
