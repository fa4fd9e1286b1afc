//go:build integration

package funds

import (
	"testing"

	"github.com/xingfuma/happycode/app/store/mongo"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
)

// The same on MongoDB: a few offers, since the stand-in is slow.
func TestOffersAtOnceOnMongo(t *testing.T) {
	t.Parallel()
	record, err := mongo.Open(t.Context(), mongotest.URI(t))
	must(t, err)
	t.Cleanup(func() { must(t, record.Close()) })
	offersAtOnce(t, newOffice(t, record), 6, 2)
}
