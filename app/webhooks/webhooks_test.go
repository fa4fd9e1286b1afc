package webhooks

import (
	"net/netip"
	"testing"
)

// The published example of the Standard Webhooks specification.
func TestSign(t *testing.T) {
	t.Parallel()
	got, err := Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := Sign("whsec_not base64", "m", 1, nil); err == nil {
		t.Error("a secret that is none signs")
	}
}

// Only public addresses are sent to, however they are written.
func TestReachable(t *testing.T) {
	t.Parallel()
	for _, ip := range []string{
		"127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255",
		"198.18.0.1", "192.0.0.8", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "2001:db8::1", "fec0::1", "fe80::1%eth0",
	} {
		if reachable(netip.MustParseAddr(ip), nil) {
			t.Errorf("%s counts as public", ip)
		}
	}
	for _, ip := range []string{"8.8.8.8", "114.114.114.114", "2400:3200::1", "::ffff:8.8.8.8"} {
		if !reachable(netip.MustParseAddr(ip), nil) {
			t.Errorf("%s does not count as public", ip)
		}
	}
	inner := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}
	if !reachable(netip.MustParseAddr("10.20.1.1"), inner) || reachable(netip.MustParseAddr("10.21.1.1"), inner) {
		t.Error("the operator's networks are not what is allowed")
	}
}
