// Package matching decides, fast and atomically, which units go to which need.
//
// It runs on Redis: one script call per scan, in the hash slot of the
// resident's county. Redis proposes, the record disposes: a hold becomes an
// allocation only when the record has it. See DESIGN.md.
package matching
