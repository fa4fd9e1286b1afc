// Package care is the life of a need: a code is scanned, units are held, the
// record confirms them, the aid is handed over, and the happiness list shows
// it. It is the one place where the matcher (fast, forgetful) and the record
// (slow, true) meet; DESIGN.md has the protocol and its crash windows.
package care
