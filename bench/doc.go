// Package bench measures: scans over HTTP against a running server, and beside
// them, in the same run, what the machine gives at best: Fiber answering an
// empty POST, and redis-benchmark calling the matcher's own script. Figures of
// two machines cannot be compared, ratios of one run can.
//
// It knows the product from outside only: its HTTP API and [matching.Engine].
package bench
