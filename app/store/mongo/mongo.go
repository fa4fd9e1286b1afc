// Package mongo keeps the record in MongoDB.
//
// It asks of the server only what a sharded cluster gives as well: inserts,
// replaces of one document guarded by its version, and finds along an index.
// Every write waits for a majority of the members to have it in their journal.
//
// An insert or a replace whose answer got lost (a time-out, a broken
// connection that could not be retried) ends in an error and may have been
// carried out. Callers that try again must therefore insert under
// deterministic ids and, when told of a duplicate, compare what is stored with
// what they meant; and re-read before they replace again.
package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/store"
)

const (
	// databaseName is used where the URI names no database.
	databaseName = "happycode"
	// callTimeout bounds one call, retries included, where the caller's
	// context and the URI (timeoutMS) set no bound. An election takes up to
	// some 12 s.
	callTimeout = 20 * time.Second
	// indexTimeout bounds the building of one collection's indexes.
	indexTimeout = 30 * time.Minute
	// batchDocs bounds one message, so that it stays below 48 MB for
	// documents of ordinary size and below callTimeout.
	batchDocs = 500
	// parallelReplaces is how many replaces of one call are under way at once.
	parallelReplaces = 8
	// duplicateKey is the server's error code for a unique index.
	duplicateKey = 11000
)

// Record is a [store.Record] in one database.
type Record struct {
	client *mongo.Client
	db     *mongo.Database
	closed atomic.Bool

	mu      sync.RWMutex
	schemas map[string]*collection
}

// collection is a declared collection.
type collection struct {
	store.Schema
	*mongo.Collection
	types sync.Map // reflect.Type -> error of [store.Schema.Fits]
}

var _ store.Record = (*Record)(nil)

// Open connects to the server or cluster of a MongoDB URI and waits until it
// answers. The URI's path names the database ("happycode" where it is empty).
// Durability is not up to the URI: writes always wait for a majority's
// journal, and reads go to the primary and see what a majority has.
func Open(ctx context.Context, uri string) (*Record, error) {
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, fmt.Errorf("read the MongoDB URI: %w", err)
	}
	name := parsed.Database
	if name == "" {
		name = databaseName
	}
	journal := true
	o := options.Client().SetTimeout(callTimeout).SetServerSelectionTimeout(callTimeout).SetAppName("happycode").ApplyURI(uri).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRetryWrites(true).SetRetryReads(true)
	client, err := mongo.Connect(o)
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	r := &Record{client: client, db: client.Database(name), schemas: map[string]*collection{}}
	if err := r.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reach MongoDB: %w", err), r.Close())
	}
	return r, nil
}

// Close ends the connections. Calls under way are waited for up to five
// seconds.
func (r *Record) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return r.client.Disconnect(ctx)
}

// Ping says whether the primary answers.
func (r *Record) Ping(ctx context.Context) error {
	if r.closed.Load() {
		return store.ErrClosed
	}
	return r.broken(r.client.Ping(ctx, readpref.Primary()))
}

// broken gives the error of a closed record its name.
func (r *Record) broken(err error) error {
	if err != nil && r.closed.Load() {
		return store.ErrClosed
	}
	return err
}

func (r *Record) collection(name string) (*collection, error) {
	if r.closed.Load() {
		return nil, store.ErrClosed
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	c := r.schemas[name]
	if c == nil {
		return nil, fmt.Errorf("collection %q was not declared with Ensure", name)
	}
	return c, nil
}

func (c *collection) fits(doc store.Document) error {
	kind := reflect.TypeOf(doc)
	if known, ok := c.types.Load(kind); ok {
		err, _ := known.(error)
		return err
	}
	err := c.Fits(kind)
	c.types.Store(kind, err)
	return err
}

// encode makes the BSON of documents as they will be after the write.
func (c *collection) encode(docs []store.Document, next func(read int64) int64) ([]bson.Raw, error) {
	out := make([]bson.Raw, len(docs))
	for i, d := range docs {
		if err := errors.Join(store.CheckID(d.Key()), c.fits(d)); err != nil {
			return nil, err
		}
		read := d.Version()
		d.SetVersion(next(read))
		var b bytes.Buffer
		e := bson.NewEncoder(bson.NewDocumentWriter(&b))
		e.UseJSONStructTags()
		err := e.Encode(d)
		d.SetVersion(read)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", c.Schema.Name, d.Key(), err)
		}
		if b.Len() > store.MaxDocument {
			return nil, fmt.Errorf("%s %s has %d bytes: %w", c.Schema.Name, d.Key(), b.Len(), store.ErrDocument)
		}
		out[i] = b.Bytes()
	}
	return out, nil
}

func (c *collection) decode(raw bson.Raw, dst func() store.Document) (store.Document, error) {
	d := dst()
	e := bson.NewDecoder(bson.NewDocumentReader(bytes.NewReader(raw)))
	e.UseJSONStructTags()
	if err := e.Decode(d); err != nil {
		id, _ := raw.Lookup("_id").StringValueOK()
		return nil, fmt.Errorf("decode %s %s: %w", c.Schema.Name, id, err)
	}
	return d, nil
}

// Ensure implements [store.Record].
func (r *Record) Ensure(ctx context.Context, schemas ...store.Schema) error {
	if r.closed.Load() {
		return store.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	for _, s := range schemas {
		if err := s.Check(); err != nil {
			return err
		}
		c := &collection{Schema: s, Collection: r.db.Collection(s.Name)}
		if err := c.ensureIndexes(ctx); err != nil {
			return fmt.Errorf("ensure %s: %w", s.Name, r.broken(err))
		}
		r.mu.Lock()
		r.schemas[s.Name] = c
		r.mu.Unlock()
	}
	return nil
}

// ensureIndexes creates those that are missing.
func (c *collection) ensureIndexes(ctx context.Context) error {
	there, err := c.Collection.Indexes().ListSpecifications(ctx)
	if err != nil {
		return err
	}
	have := map[string]mongo.IndexSpecification{}
	for _, x := range there {
		have[x.Name] = x
	}
	var missing []mongo.IndexModel
	for _, x := range c.Schema.Indexes {
		keys := bson.D{}
		for _, f := range x.Fields {
			keys = append(keys, bson.E{Key: f, Value: int32(1)})
		}
		o := options.Index().SetName(x.Name)
		if x.Unique {
			o.SetUnique(true)
		} else {
			keys = append(keys, bson.E{Key: "_id", Value: int32(1)})
		}
		was, ok := have[x.Name]
		if !ok {
			missing = append(missing, mongo.IndexModel{Keys: keys, Options: o})
			continue
		}
		if unique := was.Unique != nil && *was.Unique; unique != x.Unique || !sameKeys(was.KeysDocument, keys) {
			return fmt.Errorf("index %s is there with other fields; give the new one another name", x.Name)
		}
	}
	for _, name := range c.Gone {
		if _, ok := have[name]; ok {
			if err := c.Collection.Indexes().DropOne(ctx, name); err != nil {
				return err
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := c.Collection.Indexes().CreateMany(ctx, missing); mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("the documents have equal values: %w", store.ErrDuplicate)
	} else if err != nil {
		return err
	}
	return nil
}

// sameKeys says whether an index orders by these fields, all upwards.
func sameKeys(was bson.Raw, keys bson.D) bool {
	elements, err := was.Elements()
	if err != nil || len(elements) != len(keys) {
		return false
	}
	for i, e := range elements {
		if n, ok := e.Value().AsInt64OK(); !ok || n != 1 || e.Key() != keys[i].Key {
			return false
		}
	}
	return true
}

// Get implements [store.Record].
func (r *Record) Get(ctx context.Context, name string, ids []string, dst func() store.Document) ([]store.Document, error) {
	c, err := r.collection(name)
	if err != nil {
		return nil, err
	}
	out := make([]store.Document, len(ids))
	places := map[string][]int{}
	for i, id := range ids {
		places[id] = append(places[id], i)
	}
	for part := range slices.Chunk(ids, batchDocs) {
		filter := bson.D{{Key: "_id", Value: part[0]}}
		if len(part) > 1 {
			filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: part}}}}
		}
		err := r.each(ctx, c, filter, options.Find().SetBatchSize(batchDocs+1), func(raw bson.Raw) error {
			for _, at := range places[raw.Lookup("_id").StringValue()] {
				if out[at], err = c.decode(raw, dst); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// each visits what a find returns.
func (r *Record) each(ctx context.Context, c *collection, filter bson.D, o *options.FindOptionsBuilder, visit func(bson.Raw) error) error {
	rows, err := c.Find(ctx, filter, o)
	if err != nil {
		return r.broken(err)
	}
	for rows.Next(ctx) {
		if err = visit(rows.Current); err != nil {
			break
		}
	}
	if err == nil {
		err = r.broken(rows.Err())
	}
	if e := rows.Close(ctx); err == nil {
		err = e
	}
	return err
}

// Insert implements [store.Record].
func (r *Record) Insert(ctx context.Context, name string, docs []store.Document) ([]store.Duplicate, error) {
	c, err := r.collection(name)
	if err != nil {
		return nil, err
	}
	raws, err := c.encode(docs, func(int64) int64 { return 1 })
	if err != nil {
		return nil, err
	}
	var all []store.Duplicate
	for from := 0; from < len(raws); from += batchDocs {
		part := raws[from:min(from+batchDocs, len(raws))]
		dups, err := r.insert(ctx, c, part)
		if err != nil {
			return nil, err
		}
		left := map[int]bool{}
		for _, d := range dups {
			left[d.Position] = true
			d.Position += from
			all = append(all, d)
		}
		for i := range part {
			if !left[i] {
				docs[from+i].SetVersion(1)
			}
		}
	}
	return all, nil
}

func (r *Record) insert(ctx context.Context, c *collection, raws []bson.Raw) ([]store.Duplicate, error) {
	_, err := c.InsertMany(ctx, raws, options.InsertMany().SetOrdered(false))
	var bulk mongo.BulkWriteException
	if err == nil || !errors.As(err, &bulk) || bulk.WriteConcernError != nil {
		return nil, r.broken(err)
	}
	var dups []store.Duplicate
	for _, w := range bulk.WriteErrors {
		if w.Code != duplicateKey {
			return nil, err
		}
		id := raws[w.Index].Lookup("_id").StringValue()
		index, err := r.violated(ctx, c, raws[w.Index], w.Raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		dups = append(dups, store.Duplicate{Position: w.Index, ID: id, Index: index})
	}
	slices.SortFunc(dups, func(a, b store.Duplicate) int { return a.Position - b.Position })
	return dups, nil
}

// violated finds what a refused document collides with: the id ("") or an
// index. MongoDB says it in keyPattern; where the server does not, what is
// stored is asked.
func (r *Record) violated(ctx context.Context, c *collection, raw, refusal bson.Raw) (string, error) {
	if pattern, ok := refusal.Lookup("keyPattern").DocumentOK(); ok {
		elements, err := pattern.Elements()
		if err != nil {
			return "", err
		}
		var fields []string
		for _, e := range elements {
			fields = append(fields, e.Key())
		}
		if slices.Equal(fields, []string{"_id"}) {
			return "", nil
		}
		for _, x := range c.Schema.Indexes {
			if x.Unique && slices.Equal(fields, x.Fields) {
				return x.Name, nil
			}
		}
	}
	taken, err := r.exists(ctx, c, bson.D{{Key: "_id", Value: raw.Lookup("_id")}})
	if err != nil || taken {
		return "", err
	}
	for _, x := range c.Schema.Indexes {
		if !x.Unique {
			continue
		}
		filter := bson.D{}
		for _, f := range x.Fields {
			filter = append(filter, bson.E{Key: f, Value: raw.Lookup(f)})
		}
		taken, err := r.exists(ctx, c, filter)
		if err != nil {
			return "", err
		}
		if taken {
			return x.Name, nil
		}
	}
	return "", errors.New("refused as a duplicate, but what it collided with is gone")
}

func (r *Record) exists(ctx context.Context, c *collection, filter bson.D) (bool, error) {
	err := c.FindOne(ctx, filter, options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, r.broken(err)
}

// Replace implements [store.Record]. Each document is a command of its own,
// because the answer to a bulk of them says only how many matched.
func (r *Record) Replace(ctx context.Context, name string, docs []store.Document) ([]error, error) {
	c, err := r.collection(name)
	if err != nil {
		return nil, err
	}
	raws, err := c.encode(docs, func(read int64) int64 { return read + 1 })
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(docs))
	one := func(i int) error {
		d := docs[i]
		result, err := c.ReplaceOne(ctx, bson.D{{Key: "_id", Value: d.Key()}, {Key: "v", Value: d.Version()}}, raws[i])
		var refused mongo.WriteException
		switch {
		case errors.As(err, &refused) && refused.WriteConcernError == nil && refused.HasErrorCode(duplicateKey):
			errs[i] = store.ErrDuplicate
		case err != nil:
			return fmt.Errorf("%s: %w", d.Key(), r.broken(err))
		case result.MatchedCount == 0:
			errs[i] = store.ErrConflict
		default:
			d.SetVersion(d.Version() + 1)
		}
		return nil
	}
	if len(docs) == 1 {
		if err := one(0); err != nil {
			return nil, err
		}
		return errs, nil
	}
	var g errgroup.Group
	g.SetLimit(parallelReplaces)
	// A document that stands twice in one call is written in turn.
	turns := map[string][]int{}
	for i, d := range docs {
		turns[d.Key()] = append(turns[d.Key()], i)
	}
	for i, d := range docs {
		turn := turns[d.Key()]
		if turn[0] != i {
			continue
		}
		g.Go(func() error {
			for _, i := range turn {
				if err := one(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return errs, nil
}

// Delete implements [store.Record].
func (r *Record) Delete(ctx context.Context, name string, ids []string) error {
	c, err := r.collection(name)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ids, batchDocs) {
		if _, err := c.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: part}}}}); err != nil {
			return r.broken(err)
		}
	}
	return nil
}

// Find implements [store.Record].
func (r *Record) Find(ctx context.Context, name string, q store.Query, dst func() store.Document) ([]store.Document, string, error) {
	c, err := r.collection(name)
	if err != nil {
		return nil, "", err
	}
	p, err := c.Plan(q)
	if err != nil {
		return nil, "", err
	}
	filter, sort := selection(p)
	o := options.Find().SetSort(sort).SetLimit(int64(p.Limit + 1)).SetBatchSize(int32(p.Limit + 2))
	if p.Index.Name != "" {
		// Without the hint the planner may walk another index and sort; with
		// it a missing index is an error.
		o.SetHint(p.Index.Name)
	}
	var (
		page []store.Document
		last bson.Raw // of the page
		next string
	)
	err = r.each(ctx, c, filter, o, func(raw bson.Raw) error {
		if len(page) == p.Limit {
			rest := make([]any, len(p.Rest))
			for i, f := range p.Rest {
				v, err := value(last.Lookup(f))
				if err != nil {
					return fmt.Errorf("%s %s, field %q, which index %s orders by: %w", c.Schema.Name, page[len(page)-1].Key(), f, p.Index.Name, err)
				}
				rest[i] = v
			}
			next = p.Next(rest, page[len(page)-1].Key())
			return nil
		}
		d, err := c.decode(raw, dst)
		if err != nil {
			return err
		}
		page = append(page, d)
		last = append(last[:0], raw...)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// value is what a page mark carries of an indexed field.
func value(v bson.RawValue) (any, error) {
	if s, ok := v.StringValueOK(); ok {
		return s, nil
	}
	if n, ok := v.AsInt64OK(); ok {
		return n, nil
	}
	if b, ok := v.BooleanOK(); ok {
		return b, nil
	}
	return nil, store.ErrDocument
}

// selection is a plan as a filter and a sort.
func selection(p store.Plan) (filter, sort bson.D) {
	filter = bson.D{}
	for i, v := range p.Equal {
		filter = append(filter, bson.E{Key: p.Index.Fields[i], Value: v})
	}
	keys := append(slices.Clone(p.Rest), "_id")
	beyond, reach, direction := "$gt", "$gte", 1
	if p.Desc {
		beyond, reach, direction = "$lt", "$lte", -1
	}
	var and bson.A
	bound := func(operator string, v any) {
		and = append(and, bson.D{{Key: keys[0], Value: bson.D{{Key: operator, Value: v}}}})
	}
	if p.From != nil {
		bound("$gte", p.From)
	}
	if p.To != nil {
		bound("$lt", p.To)
	}
	if p.Resume {
		// After (a, b, id): a beyond, or a equal and b beyond, or both equal
		// and the id beyond. The bound on the first field alone lets the
		// server begin there in the index.
		values := append(slices.Clone(p.AfterRest), p.AfterID)
		bound(reach, values[0])
		var or bson.A
		for i := range keys {
			branch := bson.D{}
			for j := range i {
				branch = append(branch, bson.E{Key: keys[j], Value: values[j]})
			}
			or = append(or, append(branch, bson.E{Key: keys[i], Value: bson.D{{Key: beyond, Value: values[i]}}}))
		}
		and = append(and, bson.D{{Key: "$or", Value: or}})
	}
	if len(and) > 0 {
		filter = append(filter, bson.E{Key: "$and", Value: and})
	}
	// The values of a unique index never tie, so the id is not part of it.
	if p.Index.Unique && len(keys) > 1 {
		keys = keys[:len(keys)-1]
	}
	for _, k := range keys {
		sort = append(sort, bson.E{Key: k, Value: direction})
	}
	return filter, sort
}
