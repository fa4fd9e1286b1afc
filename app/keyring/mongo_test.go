//go:build integration

package keyring_test

import (
	"testing"

	"github.com/xingfuma/happycode/app/store/mongo"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
)

// The same on MongoDB.
func TestMongo(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *office){
		"rotation": rotation, "migration": migration, "compromise": compromise,
		"planted": planted, "retire refuses": retireRefuses,
	} {
		t.Run(name, func(t *testing.T) {
			record, err := mongo.Open(t.Context(), mongotest.URI(t))
			must(t, err)
			t.Cleanup(func() { record.Close() })
			run(t, over(t, record))
		})
	}
}
