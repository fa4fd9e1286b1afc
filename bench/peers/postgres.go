package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres gives in one statement, prepared and committed durably: it takes a
// lot's row that nobody has locked, counts the unit and inserts the allocation,
// whose unique key refuses a household that has one already.
type postgres struct {
	url   string // empty: a cluster is made in dir
	dir   string
	conns int

	server *process
	pool   *pgxpool.Pool
}

func (p *postgres) name() string { return "postgres" }
func (p *postgres) what() string {
	return "PostgreSQL, FOR UPDATE SKIP LOCKED, prepared, synchronous_commit on"
}
func (p *postgres) perCall() int { return 1 }
func (p *postgres) raced() bool  { return true }

const (
	pgSchema = `
DROP TABLE IF EXISTS allocations;
DROP TABLE IF EXISTS lots;
CREATE TABLE lots (id text PRIMARY KEY, category text NOT NULL, ord int NOT NULL, free bigint NOT NULL CHECK (free >= 0)) WITH (fillfactor = 50);
CREATE INDEX ON lots (category, ord);
CREATE TABLE allocations (need text PRIMARY KEY, household text NOT NULL, category text NOT NULL, lot text NOT NULL,
	at timestamptz NOT NULL DEFAULT now(), UNIQUE (household, category));`
	// pgGive has a place for how it treats locked rows.
	pgGive = `
WITH pick AS (SELECT id FROM lots WHERE category = $1 AND free > 0 ORDER BY ord LIMIT 1 FOR UPDATE %s),
took AS (UPDATE lots SET free = free - 1 FROM pick WHERE lots.id = pick.id RETURNING lots.id)
INSERT INTO allocations (need, household, category, lot) SELECT $2, $3, $1, id FROM took RETURNING lot`
	pgLeft = `SELECT EXISTS (SELECT 1 FROM lots WHERE category = $1 AND free > 0)`
)

func (p *postgres) open(ctx context.Context, lots []lot) error {
	if p.url == "" {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	if p.pool == nil {
		c, err := pgxpool.ParseConfig(p.url)
		if err != nil {
			return err
		}
		c.MaxConns, c.MinConns = int32(p.conns), int32(p.conns)
		c.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
		// Tables are made anew: what is prepared is kept by the text only
		// within one opening.
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
		if p.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
			return err
		}
	}
	if _, err := p.pool.Exec(ctx, pgSchema); err != nil {
		return err
	}
	p.pool.Reset()
	for i, l := range lots {
		if _, err := p.pool.Exec(ctx, `INSERT INTO lots VALUES ($1, $2, $3, $4)`, l.id, l.category, i, l.units); err != nil {
			return err
		}
	}
	return nil
}

func (p *postgres) serve(ctx context.Context, needs []need) ([]answer, error) {
	n := needs[0]
	for {
		for _, locked := range []string{"SKIP LOCKED", ""} { // all are locked: wait for one
			var lot string
			err := p.pool.QueryRow(ctx, fmt.Sprintf(pgGive, locked), n.category, n.id, n.household).Scan(&lot)
			var refused *pgconn.PgError
			switch {
			case err == nil:
				return []answer{answer(lot)}, nil
			case errors.As(err, &refused) && refused.Code == "23505": // has one already
				return []answer{""}, nil
			case !errors.Is(err, pgx.ErrNoRows):
				return nil, err
			}
		}
		// The row that was waited for may have been emptied meanwhile.
		var left bool
		if err := p.pool.QueryRow(ctx, pgLeft, n.category).Scan(&left); err != nil || !left {
			return []answer{""}, err
		}
	}
}

func (p *postgres) close() {
	if p.pool != nil {
		p.pool.Close()
		p.pool = nil
	}
	if p.server != nil {
		p.server.end()
		p.server = nil
	}
}

// start makes a cluster and starts it. PostgreSQL does not run as root: then it
// runs as the user postgres or nobody.
func (p *postgres) start(ctx context.Context) error {
	bin, err := pgBin()
	if err != nil {
		return err
	}
	data, sockets := filepath.Join(p.dir, "pg"), filepath.Join(p.dir, "pgs")
	as := &syscall.SysProcAttr{}
	for _, d := range []string{data, sockets} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		uid, gid, err := unprivileged()
		if err != nil {
			return err
		}
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chmod(p.dir, 0o711); err != nil {
			return err
		}
		for _, d := range []string{data, sockets} {
			if err := os.Chown(d, uid, gid); err != nil {
				return err
			}
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.SysProcAttr, c.Dir = as, data
		return c
	}
	if out, err := command("initdb", "-D", data, "-U", "peers", "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if p.server, err = start(command("postgres", "-D", data, "-k", sockets, "-c", "listen_addresses=",
		"-c", "max_connections="+strconv.Itoa(p.conns+20), "-c", "synchronous_commit=on", "-c", "fsync=on",
		"-c", "shared_buffers=256MB", "-c", "log_min_messages=fatal")); err != nil {
		return err
	}
	p.url = fmt.Sprintf("host=%s user=peers dbname=postgres", sockets)
	return p.server.await(ctx, func() error {
		c, err := pgx.Connect(ctx, p.url)
		if err == nil {
			err = c.Close(ctx)
		}
		return err
	})
}

// pgBin is where PostgreSQL's programs lie: Debian keeps them off PATH.
func pgBin() (string, error) {
	if at, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(at), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: apt-get install postgresql, or name one with --postgres")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, unknown := user.Lookup(name)
		if unknown != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		return uid, gid, errors.Join(err1, err2)
	}
	return 0, 0, errors.New("no user postgres or nobody to run PostgreSQL as")
}
