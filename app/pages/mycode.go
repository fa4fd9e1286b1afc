package pages

// MyCode is where a resident shows the code and nothing else. It names nobody:
// a phone keeps it to open it without a network, and the script fills it in.
// Plain is for phones that run no scripts: a picture, loaded anew each step.
type MyCode struct {
	Page
	Elder bool // code and name only, as large as they go
	Plain bool
}

func (MyCode) template() string { return "mycode" }
