package pages

// Webhooks lists where events are sent, and makes new ones.
type Webhooks struct {
	Form
	Own       bool   // those of the organisation of who looks
	Fresh     string // the secret just made, shown this once
	Divisions []ChoiceGroup
	Kinds     []Choice
	Rows      []HookRow
}

// HookRow is one webhook, without its secret.
type HookRow struct {
	ID, URL, Label, Place string
	Kinds                 []Text // none: all
	Active                bool
	Why                   string // key below "hook_why."; "" while it is active
	FailingMs, LastMs     int64
}

func (Webhooks) template() string { return "webhooks" }

// Webhook is one webhook with what it was sent.
type Webhook struct {
	Form
	HookRow
	Deliveries []DeliveryRow
	Next       Link
}

// DeliveryRow is one event on its way.
type DeliveryRow struct {
	ID                   string
	Kind                 Text
	State                string // key below "hook_state."
	AtMs, LastMs, NextMs int64
	Tries, Status        int
	Fault                string // key below "hook_fault.", or ""
}

func (Webhook) template() string { return "webhook" }
