package main

import (
	"errors"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/providers"
)

// sentence is trouble told to the person at the terminal: what happened and
// what to do, in both languages, on one line.
type sentence struct {
	zh, en string
	cause  error // may be nil
}

func say(zh, en string, cause error) error { return &sentence{zh: zh, en: en, cause: cause} }

func (s *sentence) Error() string {
	text := s.zh + " / " + s.en
	if s.cause != nil {
		text += " (" + s.cause.Error() + ")"
	}
	return text
}

func (s *sentence) Unwrap() error { return s.cause }

// words is an error for the person at the terminal: in both languages where
// the packages say it in both.
func words(err error) string {
	var account accounts.FieldError
	var offer providers.FieldError
	var resident *residents.FieldError
	var key *keyring.FieldError
	switch {
	case errors.As(err, &account):
		return account.Field + "：" + account.ZH + " / " + account.EN
	case errors.As(err, &offer):
		return offer.Field + "：" + offer.ZH + " / " + offer.EN
	case errors.As(err, &resident):
		return resident.Field + "：" + resident.ZH + " / " + resident.EN
	case errors.As(err, &key):
		return key.Field + "：" + key.ZH + " / " + key.EN
	}
	return err.Error()
}
