package pages

// SignIn is where people sign in.
type SignIn struct {
	Form
	Next string // path to go to afterwards
}

func (SignIn) template() string { return "signin" }
