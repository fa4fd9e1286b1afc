package pages

// Password is where people change their own password.
type Password struct{ Form }

func (Password) template() string { return "password" }
