// Command ferretdb speaks MongoDB's wire protocol on a loopback port, for the
// tests of machines that have no mongod: FerretDB v1 over SQLite.
//
// It is a module of its own, so that what it needs stays out of the product.
// It loses updates when several connections write at once, so clients connect
// with maxPoolSize=1 and those of several processes take turns; it is never more
// than a stand-in.
//
// It prints its address on one line when it listens, and ends when its
// standard input does, that is at the latest when the process that started it
// ends, however that comes about.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "loopback address to listen on")
	dir := flag.String("dir", "", "folder of the databases; none: a temporary one, removed at the end")
	verbose := flag.Bool("v", false, "log to standard error")
	flag.Parse()
	if err := run(*listen, *dir, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

func run(listen, dir string, verbose bool) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is no loopback address", listen)
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "happycode-ferretdb-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	log := slog.New(slog.DiscardHandler)
	if verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	front, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer front.Close()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    log,
		Handler:   "sqlite",
		SQLiteURL: "file:" + (&url.URL{Path: dir}).EscapedPath() + "/",
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 3)
	go func() { ended <- server.Run(ctx) }()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
		// Connections that do not end must not keep it.
		time.AfterFunc(3*time.Second, func() { ended <- nil })
	}()
	uri, err := url.Parse(server.MongoDBURI())
	if err != nil {
		return err
	}
	go func() { ended <- (&turns{server: uri.Host}).serve(front) }()
	fmt.Println(front.Addr())
	return <-ended
}
