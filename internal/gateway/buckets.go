package gateway

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"time"

	"usher/internal/db"
)

// Schema holds the migrations of the bucket registry.
//
//go:embed schema/*.sql
var Schema embed.FS

// bucketRow is an entry of the registry.
type bucketRow struct {
	Name, Account, State string
	Created              int64 // microseconds
	Doc                  db.JSON[bucketDoc]
}

const bucketColumns = `name, account_id, state, created, doc`

const (
	creating = "creating" // the upstream may have the bucket or not
	ready    = "ready"
)

func bucketScope(name string) string { return "gateway:bucket:" + name }

// owner is the account that owns a bucket, "" if there is no such bucket. It comes from memory.
func (g *Gateway) owner(ctx context.Context, name string) (string, error) {
	f, err := g.facts(ctx, name)
	if err != nil || f == nil {
		return "", err
	}
	return f.owner, nil
}

func (g *Gateway) bucketRow(ctx context.Context, q db.Querier, name string) (bucketRow, error) {
	return db.One[bucketRow](ctx, q, `SELECT `+bucketColumns+` FROM gateway_buckets WHERE name = $1`, name)
}

// createBucket registers the name, has the upstream make the bucket, and marks it ready. Whatever is interrupted in
// between is completed when the same account asks again.
func (g *Gateway) createBucket(w *answer, q *request) error {
	ctx := q.http.Context()
	if !creatableBucketName(q.bucket) {
		return errInvalidBucketName.with("BucketName", q.bucket)
	}
	if err := g.checkLocation(q); err != nil {
		return err
	}
	if acl := q.header.Get("X-Amz-Acl"); acl != "" && acl != "private" || acl == "" && q.asksForACL() {
		return errBucketACL
	}
	if v := q.header.Get("X-Amz-Object-Ownership"); v != "" && v != "BucketOwnerEnforced" {
		return errNotImplemented.with("Header", "x-amz-object-ownership")
	}
	if v := q.header.Get("X-Amz-Bucket-Object-Lock-Enabled"); v != "" && v != "false" {
		return errNotImplemented.with("Header", "x-amz-bucket-object-lock-enabled")
	}

	created, err := g.register(ctx, q.bucket, q.caller.AccountID)
	if err != nil {
		return err
	}
	if created {
		if g.c.Region != "us-east-1" {
			return errBucketOwned.with("BucketName", q.bucket)
		}
	} else {
		res, err := g.ask(ctx, http.MethodPut, q.bucket, "", nil, nil, nil)
		if err != nil {
			return err
		}
		// The registry has the name for us alone: that the upstream has it already is our own interrupted attempt.
		if res.status != http.StatusOK && !(res.status == http.StatusConflict && res.code() == "BucketAlreadyOwnedByYou") {
			if res.status == http.StatusConflict {
				g.unregister(ctx, q.bucket, creating)
				return errBucketExists.with("BucketName", q.bucket)
			}
			return res.err()
		}
		err = g.c.DB.Tx(ctx, func(tx *db.Tx) error {
			tx.Invalidate(bucketScope(q.bucket))
			return db.Changed(tx.ExecContext(ctx, `UPDATE gateway_buckets SET state = $1 WHERE name = $2 AND account_id = $3`, ready, q.bucket, q.caller.AccountID))
		})
		if err != nil {
			return err
		}
	}
	w.Header().Set("Location", "/"+q.bucket)
	w.WriteHeader(http.StatusOK)
	return nil
}

// register takes the name for the account. It reports whether the bucket is there already.
func (g *Gateway) register(ctx context.Context, name, account string) (isReady bool, err error) {
	row, err := g.bucketRow(ctx, g.c.DB, name)
	if errors.Is(err, db.ErrNotFound) {
		// A bucket that the upstream has and the registry lacks was not made through Usher, and is nobody's here.
		res, err := g.ask(ctx, http.MethodHead, name, "", nil, nil, nil)
		if err != nil {
			return false, err
		}
		if res.status != http.StatusNotFound {
			return false, errBucketExists.with("BucketName", name)
		}
		err = g.c.DB.Tx(ctx, func(tx *db.Tx) error {
			tx.Invalidate(bucketScope(name))
			_, err := tx.ExecContext(ctx, `INSERT INTO gateway_buckets (name, account_id, state, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				name, account, creating, g.c.Now().UnixMicro())
			if err != nil {
				return err
			}
			row, err = g.bucketRow(ctx, tx, name)
			return err
		})
		if err != nil {
			return false, err
		}
	} else if err != nil {
		return false, err
	}
	if row.Account != account {
		return false, errBucketExists.with("BucketName", name)
	}
	return row.State == ready, nil
}

func (g *Gateway) unregister(ctx context.Context, name, state string) error {
	return g.c.DB.Tx(ctx, func(tx *db.Tx) error {
		tx.Invalidate(bucketScope(name))
		_, err := tx.ExecContext(ctx, `DELETE FROM gateway_buckets WHERE name = $1 AND state = $2`, name, state)
		return err
	})
}

// checkLocation compares the LocationConstraint with the region of this endpoint, as S3 does.
func (g *Gateway) checkLocation(q *request) error {
	location := q.location
	switch {
	case location == g.c.Region || location == "" && g.c.Region == "us-east-1":
		return nil
	case location == "":
		location = "unspecified"
	}
	return errLocation.msg("The %s location constraint is incompatible for the region specific endpoint this request was sent to.", location)
}

// readLocation reads a CreateBucketConfiguration.
func readLocation(document []byte) (string, error) {
	var in struct {
		XMLName            xml.Name  `xml:"CreateBucketConfiguration"`
		LocationConstraint string    `xml:"LocationConstraint"`
		Location           *struct{} `xml:"Location"`
		Bucket             *struct{} `xml:"Bucket"`
	}
	if len(document) == 0 {
		return "", nil
	}
	if err := xml.Unmarshal(document, &in); err != nil {
		return "", errMalformedXML
	}
	if in.Location != nil || in.Bucket != nil {
		return "", errNotImplemented
	}
	return in.LocationConstraint, nil
}

// deleteBucket deletes upstream first, so that a name is free only when nothing is left behind it.
func (g *Gateway) deleteBucket(w *answer, q *request) error {
	ctx := q.http.Context()
	res, err := g.ask(ctx, http.MethodDelete, q.bucket, "", nil, nil, nil)
	if err != nil {
		return err
	}
	if res.status/100 != 2 && res.status != http.StatusNotFound {
		return res.err()
	}
	if err := g.unregister(ctx, q.bucket, ready); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (g *Gateway) headBucket(w *answer, q *request) error {
	w.Header().Set("X-Amz-Bucket-Region", g.c.Region)
	w.Header().Set("X-Amz-Access-Point-Alias", "false")
	w.Header()["Content-Type"] = xmlType
	w.WriteHeader(http.StatusOK)
	return nil
}

func (g *Gateway) getBucketLocation(w *answer, q *request) error {
	region := g.c.Region
	if region == "us-east-1" {
		region = ""
	}
	b := append([]byte(xmlHeader), `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`...)
	b = append(appendText(b, region), "</LocationConstraint>"...)
	writeXML(w, http.StatusOK, b)
	return nil
}

// listBuckets lists the buckets of the caller's account.
func (g *Gateway) listBuckets(w *answer, q *request) error {
	most := 10000
	if v := q.param("max-buckets"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10000 {
			return errInvalidArgument.msg("Argument max-buckets must be an integer between 1 and 10000").with("ArgumentName", "max-buckets")
		}
		most = n
	}
	after, prefix := q.param("continuation-token"), q.param("prefix")
	if region := q.param("bucket-region"); region != "" && region != g.c.Region {
		most = 0
	}
	rows, err := db.All[bucketRow](q.http.Context(), g.c.DB, `SELECT `+bucketColumns+` FROM gateway_buckets
		WHERE account_id = $1 AND name > $2 AND name >= $3 AND name < $4 AND state = $5 ORDER BY name LIMIT $6`,
		q.caller.AccountID, after, prefix, prefix+"\x7f", ready, most+1)
	if err != nil {
		return err
	}
	b := append([]byte(xmlHeader), `<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`...)
	b = append(b, "<Owner>"...)
	b = appendElement(b, "ID", canonicalUser(q.caller.AccountID))
	b = append(b, "</Owner><Buckets>"...)
	for _, row := range rows[:min(len(rows), most)] {
		b = append(b, "<Bucket>"...)
		b = appendElement(b, "Name", row.Name)
		b = appendElement(b, "CreationDate", time.UnixMicro(row.Created).UTC().Format("2006-01-02T15:04:05.000Z"))
		b = appendElement(b, "BucketRegion", g.c.Region)
		b = append(b, "</Bucket>"...)
	}
	b = append(b, "</Buckets>"...)
	if len(rows) > most && most > 0 {
		b = appendElement(b, "ContinuationToken", rows[most-1].Name)
	}
	if prefix != "" {
		b = appendElement(b, "Prefix", prefix)
	}
	writeXML(w, http.StatusOK, append(b, "</ListAllMyBucketsResult>"...))
	return nil
}

// canonicalUser is the canonical user id of an account: 64 hexadecimal digits that stay the same.
func canonicalUser(account string) string {
	sum := sha256.Sum256([]byte("usher canonical user " + account))
	return hex.EncodeToString(sum[:])
}
