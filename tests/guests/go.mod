module heddle/guests

go 1.19
