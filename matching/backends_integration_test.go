//go:build integration

package matching_test

import (
	"os"
	"testing"

	"github.com/xingfuma/happycode/matching/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// backends are what the scripts run on.
var backends = map[string]func(testing.TB) string{
	"embedded": redistest.Embedded, "server": redistest.Server, "cluster": redistest.Cluster,
}
