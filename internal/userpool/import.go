package userpool

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
)

// Import of users from CSV files (developer guide, "Importing users into user pools from a CSV file"). The file is uploaded
// to a URL that carries its own permission, kept sealed until the job has ended, and read row by row, each in a transaction
// that counts it: whatever happens, a row is taken once.

const (
	importPath      = "/_usher/import/"
	importURLLife   = 15 * time.Minute // as of AWS's upload URLs
	importJobLife   = 48 * time.Hour   // until a job must be started
	importLease     = 2 * time.Minute  // within which a running job counts another row
	mostImportBytes = 100 << 20
	mostImportRows  = 500_000
	mostImportRow   = 16_000 // characters
	importPiece     = 256 << 10
	maxImportJobs   = 1000 // of a pool
)

// Columns beside the attributes.
const (
	columnMFA      = "cognito:mfa_enabled"
	columnUsername = "cognito:username"
	columnHash     = "password_hash"
)

// importJob is a job as it is stored.
type importJob struct {
	PoolID, ID, Name, RoleARN, Algorithm, Status string
	Created, Started, Completed                  int64
	Bytes, Line, Imported, Skipped, Failed       int64
	Message                                      string
}

const importColumns = `pool_id, id, name, role_arn, algorithm, status, created, started, completed, bytes, line, imported, skipped, failed, message`

// running are the states in which a job is the one of its pool.
const importRunning = `('Pending', 'InProgress', 'Stopping')`

func (s *Service) wireJob(j *importJob) *cognitoidp.UserImportJobType {
	w := &cognitoidp.UserImportJobType{
		JobName: &j.Name, JobId: &j.ID, UserPoolId: &j.PoolID, CreationDate: new(timeOf(j.Created)), Status: &j.Status,
		CloudWatchLogsRoleArn: &j.RoleARN, ImportedUsers: &j.Imported, SkippedUsers: &j.Skipped, FailedUsers: &j.Failed,
		CompletionMessage: optional(j.Message), PasswordHashingAlgorithm: optional(j.Algorithm),
	}
	if j.Started != 0 {
		w.StartDate = new(timeOf(j.Started))
	}
	if j.Completed != 0 {
		w.CompletionDate = new(timeOf(j.Completed))
	}
	if j.Status == cognitoidp.UserImportJobStatusTypeCreated {
		w.PreSignedUrl = new(s.PublicURL + importPath + s.sealUpload(upload{j.PoolID, j.ID, s.Now().Add(importURLLife).Unix()}))
	}
	return w
}

// importHeader returns the columns of a pool's CSV files.
func importHeader(p *pool) []string {
	var columns []string
	for i := range p.Settings.SchemaAttributes {
		a := &p.Settings.SchemaAttributes[i]
		if *a.Name != attrSub && *a.Name != attrIdentities && !*a.DeveloperOnlyAttribute {
			columns = append(columns, *a.Name)
		}
	}
	return append(columns, columnMFA, columnUsername, columnHash)
}

// GetCSVHeader returns the columns that a file of users must have.
func (s *Service) GetCSVHeader(ctx context.Context, in *cognitoidp.GetCSVHeaderRequest) (*cognitoidp.GetCSVHeaderResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.GetCSVHeaderResponse{UserPoolId: &p.ID, CSVHeader: importHeader(p)}, nil
}

// CreateUserImportJob makes a job, and the URL that its file is to be uploaded to. The role for CloudWatch is kept and not
// used: what becomes of each row is logged by the server.
func (s *Service) CreateUserImportJob(ctx context.Context, in *cognitoidp.CreateUserImportJobRequest) (*cognitoidp.CreateUserImportJobResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	j := &importJob{PoolID: p.ID, ID: "import-" + ids.Client()[:10], Name: *in.JobName, RoleARN: *in.CloudWatchLogsRoleArn,
		Algorithm: deref(in.PasswordHashingAlgorithm), Status: cognitoidp.UserImportJobStatusTypeCreated, Created: s.now()}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if _, err := readPool(ctx, tx, p.ID); err != nil {
			return err
		}
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_import_jobs WHERE pool_id = $1`, p.ID)
		if err != nil {
			return err
		}
		if n >= maxImportJobs {
			return errLimit("import jobs", maxImportJobs)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO user_import_jobs (`+importColumns+`, lease)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0, 0, 0, 0, '', 0)`, j.PoolID, j.ID, j.Name, j.RoleARN, j.Algorithm, j.Status, j.Created)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.CreateUserImportJobResponse{UserImportJob: s.wireJob(j)}, nil
}

// readJob returns a job. One that was not started in time has expired.
func (s *Service) readJob(ctx context.Context, q db.Querier, poolID, id string) (*importJob, error) {
	j, err := db.One[importJob](ctx, q, `SELECT `+importColumns+` FROM user_import_jobs WHERE pool_id = $1 AND id = $2`, poolID, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errImportJobNotFound(id)
	} else if err != nil {
		return nil, err
	}
	s.expire(&j)
	return &j, nil
}

func (s *Service) expire(j *importJob) {
	if j.Status == cognitoidp.UserImportJobStatusTypeCreated && s.now() >= j.Created+importJobLife.Microseconds() {
		j.Status = cognitoidp.UserImportJobStatusTypeExpired
	}
}

// DescribeUserImportJob returns a job.
func (s *Service) DescribeUserImportJob(ctx context.Context, in *cognitoidp.DescribeUserImportJobRequest) (*cognitoidp.DescribeUserImportJobResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	j, err := s.readJob(ctx, s.DB, p.ID, *in.JobId)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.DescribeUserImportJobResponse{UserImportJob: s.wireJob(j)}, nil
}

// ListUserImportJobs lists the jobs of a pool.
func (s *Service) ListUserImportJobs(ctx context.Context, in *cognitoidp.ListUserImportJobsRequest) (*cognitoidp.ListUserImportJobsResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.PaginationToken, in.MaxResults, "ListUserImportJobs", p.ID)
	if err != nil {
		return nil, err
	}
	jobs, err := db.All[importJob](ctx, s.DB, `SELECT `+importColumns+` FROM user_import_jobs WHERE pool_id = $1 AND id > $2 ORDER BY id LIMIT $3`,
		p.ID, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListUserImportJobsResponse{UserImportJobs: []cognitoidp.UserImportJobType{}}
	jobs, out.PaginationToken = cut(page, jobs, func(j *importJob) []string { return []string{j.ID} })
	for i := range jobs {
		s.expire(&jobs[i])
		out.UserImportJobs = append(out.UserImportJobs, *s.wireJob(&jobs[i]))
	}
	return out, nil
}

// StartUserImportJob starts a job whose file is there. Others of the pool must not run.
func (s *Service) StartUserImportJob(ctx context.Context, in *cognitoidp.StartUserImportJobRequest) (*cognitoidp.StartUserImportJobResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if len(p.Settings.AutoVerifiedAttributes) == 0 {
		return nil, errImportNoVerified
	}
	var j *importJob
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if j, err = s.readJob(ctx, tx, p.ID, *in.JobId); err != nil {
			return err
		}
		if j.Status != cognitoidp.UserImportJobStatusTypeCreated {
			return errImportState(j.Status)
		}
		if j.Bytes == 0 {
			return errImportNoFile
		}
		if err := noImport(ctx, tx, p.ID, errImportOther); err != nil {
			return err
		}
		j.Status, j.Started = cognitoidp.UserImportJobStatusTypePending, s.now()
		return db.Changed(tx.ExecContext(ctx, `UPDATE user_import_jobs SET status = $3, started = $4, lease = 0 WHERE pool_id = $1 AND id = $2 AND status = $5`,
			p.ID, j.ID, j.Status, j.Started, cognitoidp.UserImportJobStatusTypeCreated))
	})
	if err != nil {
		return nil, err
	}
	go s.takeUpImport(context.WithoutCancel(ctx), p.ID, j.ID)
	return &cognitoidp.StartUserImportJobResponse{UserImportJob: s.wireJob(j)}, nil
}

// StopUserImportJob stops a running job. Users that were imported stay.
func (s *Service) StopUserImportJob(ctx context.Context, in *cognitoidp.StopUserImportJobRequest) (*cognitoidp.StopUserImportJobResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	var j *importJob
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if j, err = s.readJob(ctx, tx, p.ID, *in.JobId); err != nil {
			return err
		}
		if j.Status != cognitoidp.UserImportJobStatusTypePending && j.Status != cognitoidp.UserImportJobStatusTypeInProgress {
			return errImportState(j.Status)
		}
		j.Status, j.Completed, j.Message = cognitoidp.UserImportJobStatusTypeStopped, s.now(), "The import job was stopped."
		return s.endImport(ctx, tx, j)
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.StopUserImportJobResponse{UserImportJob: s.wireJob(j)}, nil
}

// endImport writes down how a job has ended and forgets its file.
func (s *Service) endImport(ctx context.Context, tx *db.Tx, j *importJob) error {
	if err := db.Changed(tx.ExecContext(ctx, `UPDATE user_import_jobs SET status = $3, completed = $4, message = $5 WHERE pool_id = $1 AND id = $2`,
		j.PoolID, j.ID, j.Status, j.Completed, j.Message)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM user_import_files WHERE pool_id = $1 AND job_id = $2`, j.PoolID, j.ID)
	return err
}

// noImport is refusal if a job of the pool runs.
func noImport(ctx context.Context, q db.Querier, poolID string, refusal error) error {
	runs, err := hasRow(ctx, q, `SELECT 1 FROM user_import_jobs WHERE pool_id = $1 AND status IN `+importRunning+` LIMIT 1`, poolID)
	if err == nil && runs {
		err = refusal
	}
	return err
}

// ownIdlePool is ownPool for changes that must wait until no import job of the pool runs.
func (s *Service) ownIdlePool(ctx context.Context, id string) (*pool, error) {
	p, err := s.ownPool(ctx, id)
	if err == nil {
		err = noImport(ctx, s.DB, id, errImportRunning)
	}
	return p, err
}

// upload is the permission that an upload URL carries.
type upload struct {
	Pool, Job string
	Until     int64
}

func (s *Service) sealUpload(u upload) string {
	text, _ := json.Marshal(u) // strings and numbers do not fail
	return base64.RawURLEncoding.EncodeToString(s.Seal.Box(boxUpload).Seal(text, nil))
}

const (
	boxUpload     = "userpool import upload"
	boxImportFile = "userpool import file"
)

func pieceOwner(j *importJob, piece int64) []byte {
	return fmt.Appendf(nil, "%s/%s/%d", j.PoolID, j.ID, piece)
}

// ImportUpload takes the files of import jobs: PUT /_usher/import/{permission}. An upload replaces the one before.
func (s *Service) ImportUpload() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var u upload
		sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(r.URL.Path, importPath))
		if err == nil {
			var text []byte
			if text, err = s.Seal.Box(boxUpload).Open(sealed, nil); err == nil {
				err = json.Unmarshal(text, &u)
			}
		}
		if err != nil || s.Now().Unix() >= u.Until {
			http.Error(w, "the upload URL is not valid or has expired", http.StatusForbidden)
			return
		}
		switch err := s.storeImport(r.Context(), u, http.MaxBytesReader(w, r.Body, mostImportBytes)); {
		case err == nil:
			w.WriteHeader(http.StatusOK)
		case isTooLarge(err):
			http.Error(w, "the file is larger than 100 MB", http.StatusRequestEntityTooLarge)
		case errors.Is(err, cognitoidp.ErrPreconditionNotMet) || errors.Is(err, cognitoidp.ErrResourceNotFound):
			http.Error(w, "the import job does not wait for a file", http.StatusConflict)
		default:
			s.Log.ErrorContext(r.Context(), "upload of an import file", "user_pool", u.Pool, "job", u.Job, "error", err)
			http.Error(w, "the file could not be stored", http.StatusInternalServerError)
		}
	})
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// storeImport stores a file, piece by piece as it arrives. The job has a file when the last piece is there.
func (s *Service) storeImport(ctx context.Context, u upload, body io.Reader) error {
	j := &importJob{PoolID: u.Pool, ID: u.Job}
	waits := func(tx *db.Tx) error {
		now, err := s.readJob(ctx, tx, u.Pool, u.Job)
		if err == nil && now.Status != cognitoidp.UserImportJobStatusTypeCreated {
			err = errImportState(now.Status)
		}
		return err
	}
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := waits(tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM user_import_files WHERE pool_id = $1 AND job_id = $2`, u.Pool, u.Job); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE user_import_jobs SET bytes = 0 WHERE pool_id = $1 AND id = $2`, u.Pool, u.Job)
		return err
	})
	if err != nil {
		return err
	}
	var total int64
	buffer := make([]byte, importPiece)
	for piece := int64(0); ; piece++ {
		n, readErr := io.ReadFull(body, buffer)
		last := errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF)
		if readErr != nil && !last {
			return readErr
		}
		total += int64(n)
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			if err := waits(tx); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO user_import_files (pool_id, job_id, piece, sealed) VALUES ($1, $2, $3, $4)`,
				u.Pool, u.Job, piece, s.Seal.Box(boxImportFile).Seal(buffer[:n], pieceOwner(j, piece))); err != nil || !last {
				return err
			}
			_, err := tx.ExecContext(ctx, `UPDATE user_import_jobs SET bytes = $3 WHERE pool_id = $1 AND id = $2`, u.Pool, u.Job, total)
			return err
		})
		if err != nil || last {
			return err
		}
	}
}

// importFile reads the pieces of a file in order.
type importFile struct {
	s     *Service
	ctx   context.Context
	job   *importJob
	piece int64
	rest  []byte
}

func (f *importFile) Read(b []byte) (int, error) {
	for len(f.rest) == 0 {
		sealed, err := db.One[[]byte](f.ctx, f.s.DB, `SELECT sealed FROM user_import_files WHERE pool_id = $1 AND job_id = $2 AND piece = $3`,
			f.job.PoolID, f.job.ID, f.piece)
		if errors.Is(err, db.ErrNotFound) {
			return 0, io.EOF
		} else if err != nil {
			return 0, err
		}
		if f.rest, err = f.s.Seal.Box(boxImportFile).Open(sealed, pieceOwner(f.job, f.piece)); err != nil {
			return 0, err
		}
		f.piece++
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// sweepImports takes up jobs whose node has left them, and forgets the files of expired ones.
func (s *Service) sweepImports(ctx context.Context) error {
	jobs, err := db.All[importJob](ctx, s.DB, `SELECT `+importColumns+` FROM user_import_jobs WHERE status IN `+importRunning+` AND lease <= $1`, s.now())
	if err != nil {
		return err
	}
	for _, j := range jobs {
		go s.takeUpImport(context.WithoutCancel(ctx), j.PoolID, j.ID)
	}
	jobs, err = db.All[importJob](ctx, s.DB, `SELECT `+importColumns+` FROM user_import_jobs WHERE status = $1 AND created <= $2 LIMIT 100`,
		cognitoidp.UserImportJobStatusTypeCreated, s.now()-importJobLife.Microseconds())
	if err != nil {
		return err
	}
	for _, j := range jobs {
		j.Status, j.Completed, j.Message = cognitoidp.UserImportJobStatusTypeExpired, s.now(), "The import job was not started in time."
		if err := s.DB.Tx(ctx, func(tx *db.Tx) error { return s.endImport(ctx, tx, &j) }); err != nil {
			return err
		}
	}
	return nil
}

// takeUpImport runs a job that no other node runs, from the row after the last that was counted.
func (s *Service) takeUpImport(ctx context.Context, poolID, id string) {
	var j *importJob
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `UPDATE user_import_jobs SET status = $3, lease = $4 WHERE pool_id = $1 AND id = $2
			AND status IN `+importRunning+` AND lease <= $5`, poolID, id, cognitoidp.UserImportJobStatusTypeInProgress, s.now()+importLease.Microseconds(), s.now()))
		if err != nil {
			return err
		}
		j, err = s.readJob(ctx, tx, poolID, id)
		return err
	})
	if errors.Is(err, db.ErrConflict) {
		return
	}
	if err == nil {
		err = s.runImport(ctx, j)
	}
	if err != nil && !errors.Is(err, errImportTaken) {
		s.Log.ErrorContext(ctx, "import of users", "user_pool", poolID, "job", id, "error", err)
	}
}

var errImportTaken = errors.New("the job was stopped or is run by another node")

// runImport takes the rows of a job's file one after the other.
func (s *Service) runImport(ctx context.Context, j *importJob) error {
	p, err := s.pool(ctx, j.PoolID)
	if err != nil {
		return err
	}
	end := func(status, message string) error {
		s.Log.InfoContext(ctx, "import of users ended", "user_pool", j.PoolID, "job", j.ID, "status", status, "reason", message)
		return s.DB.Tx(ctx, func(tx *db.Tx) error {
			now, err := s.readJob(ctx, tx, j.PoolID, j.ID)
			if err != nil {
				return err
			}
			if now.Status != cognitoidp.UserImportJobStatusTypeInProgress || now.Line != j.Line {
				return errImportTaken
			}
			now.Status, now.Completed, now.Message = status, s.now(), message
			return s.endImport(ctx, tx, now)
		})
	}
	lines := bufio.NewScanner(&importFile{s: s, ctx: ctx, job: j})
	lines.Buffer(make([]byte, 4096), mostImportRow*4)
	if !lines.Scan() {
		if lines.Err() != nil {
			return lines.Err()
		}
		return end(cognitoidp.UserImportJobStatusTypeFailed, "The file has no header.")
	}
	columns, err := readImportHeader(p, j.Algorithm, lines.Text())
	if err != nil {
		return end(cognitoidp.UserImportJobStatusTypeFailed, err.Error())
	}
	for number := int64(1); lines.Scan(); number++ {
		if strings.TrimSpace(lines.Text()) == "" || number <= j.Line {
			continue
		}
		if number > mostImportRows {
			return end(cognitoidp.UserImportJobStatusTypeFailed, "The file has too many rows.")
		}
		if err := s.importRow(ctx, p, j, columns, number, lines.Text()); err != nil {
			return err
		}
		j.Line = number
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return end(cognitoidp.UserImportJobStatusTypeFailed, "A row is longer than 16,000 characters.")
	} else if lines.Err() != nil {
		return lines.Err()
	}
	return end(cognitoidp.UserImportJobStatusTypeSucceeded, "Import Job Completed Successfully.")
}

// importRow creates the user of a row and counts it, whatever becomes of it.
func (s *Service) importRow(ctx context.Context, p *pool, j *importJob, columns []string, number int64, text string) error {
	u, refusal := s.importedUser(p, j.Algorithm, columns, text)
	for {
		outcome := "imported"
		if refusal != nil {
			outcome = "failed"
			if errors.Is(refusal, cognitoidp.ErrUsernameExists) {
				outcome = "skipped"
			}
		}
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			err := db.Changed(tx.ExecContext(ctx, `UPDATE user_import_jobs SET line = $4, lease = $5, `+outcome+` = `+outcome+` + 1
				WHERE pool_id = $1 AND id = $2 AND line = $3 AND status = $6`,
				j.PoolID, j.ID, j.Line, number, s.now()+importLease.Microseconds(), cognitoidp.UserImportJobStatusTypeInProgress))
			if errors.Is(err, db.ErrConflict) {
				return errImportTaken
			}
			if err != nil || refusal != nil {
				return err
			}
			return s.insertUser(ctx, tx, p, u, errAdminCreateExists)
		})
		if told, ok := errors.AsType[*awsapi.Error](err); ok && refusal == nil {
			refusal = told // counted in a transaction of its own
			continue
		}
		if err == nil && refusal != nil {
			s.Log.InfoContext(ctx, "row not imported", "user_pool", j.PoolID, "job", j.ID, "line", number, "outcome", outcome, "reason", refusal)
		}
		return err
	}
}

// readImportHeader returns the columns of a file, which must have each that the pool's files have; passwords only with hashes.
func readImportHeader(p *pool, algorithm, text string) ([]string, error) {
	columns := splitImportRow(text)
	want := importHeader(p)
	for _, c := range want {
		if !slices.Contains(columns, c) && (c != columnHash || algorithm != "") {
			return nil, fmt.Errorf("the header has no column %s", c)
		}
	}
	for i, c := range columns {
		if !slices.Contains(want, c) || slices.Contains(columns[:i], c) {
			return nil, fmt.Errorf("column %d of the header is unknown or there twice", i+1)
		}
	}
	return columns, nil
}

// splitImportRow splits a row at its commas. A backslash before a comma takes its meaning; there are no quotes.
func splitImportRow(text string) []string {
	var fields []string
	var field strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ',':
			field.WriteByte(',')
			i++
		case text[i] == ',':
			fields = append(fields, strings.TrimSpace(field.String()))
			field.Reset()
		default:
			field.WriteByte(text[i])
		}
	}
	return append(fields, strings.TrimSpace(field.String()))
}

// importedUser returns the user of a row.
func (s *Service) importedUser(p *pool, algorithm string, columns []string, text string) (*user, error) {
	fields := splitImportRow(text)
	if len(fields) != len(columns) || len([]rune(text)) > mostImportRow {
		return nil, errImportRow("the row does not have as many fields as the header, or is too long")
	}
	row := map[string]string{}
	var list []cognitoidp.AttributeType
	for i, name := range columns {
		value := fields[i]
		if a := p.schema[name]; a != nil && value != "" {
			value, err := importedValue(a, name, value)
			if err != nil {
				return nil, err
			}
			list = append(list, cognitoidp.AttributeType{Name: &name, Value: &value})
			row[name] = value
			continue
		}
		row[name] = value
	}
	if row[columnUsername] == "" || strings.ContainsAny(row[columnUsername], " \t") || len([]rune(row[columnUsername])) > 128 {
		return nil, errImportRow("cognito:username is required, without spaces")
	}
	if !slices.ContainsFunc(p.Settings.AutoVerifiedAttributes, func(a string) bool { return row[a] != "" && row[a+"_verified"] == "true" }) {
		return nil, errImportRow("an attribute that the pool verifies must be there and verified")
	}
	values, err := p.readAttributes(list, nil, nil)
	if err != nil {
		return nil, err
	}
	for _, attr := range []string{attrEmail, attrPhone} {
		if values[attr] == "" && values[attr+"_verified"] == "true" {
			return nil, errNothingToVerify(attr)
		}
	}
	username, sub, err := p.nameUser(row[columnUsername], values)
	if err != nil {
		return nil, err
	}
	if err := p.checkRequired(values); err != nil {
		return nil, err
	}
	u := p.newUser(username, sub, cognitoidp.UserStatusTypeResetRequired, values, s.now())
	if err := importedMFA(p, u, strings.ToLower(row[columnMFA])); err != nil {
		return nil, err
	}
	if hash := row[columnHash]; hash != "" {
		if _, err := parseHash(algorithm, hash); err != nil {
			return nil, errImportRow("password_hash is " + err.Error())
		}
		u.Status = cognitoidp.UserStatusTypeConfirmed
		u.Doc.V.Hash, u.PasswordSet = s.sealHash(p, u, hash), u.Created
	}
	return u, nil
}

// importedValue returns a value as attributes have it: dates are in the order of the United States in the file.
func importedValue(a *cognitoidp.SchemaAttributeType, name, value string) (string, error) {
	switch {
	case name == "birthdate":
		day, err := time.Parse("01/02/2006", value)
		if err != nil {
			return "", errImportRow("birthdate is not in the form mm/dd/yyyy")
		}
		return day.Format(time.DateOnly), nil
	case deref(a.AttributeDataType) == cognitoidp.AttributeDataTypeBoolean:
		return strings.ToLower(value), nil
	}
	return value, nil
}

// importedMFA sets the user's second factor. The column must agree with the pool, and TRUE is for SMS.
func importedMFA(p *pool, u *user, enabled string) error {
	required := deref(p.Settings.MfaConfiguration)
	switch {
	case enabled == "":
		return nil
	case enabled != "true" && enabled != "false":
		return errImportRow("cognito:mfa_enabled is neither TRUE nor FALSE")
	case enabled == "true" && required == cognitoidp.UserPoolMfaTypeOff, enabled == "false" && required == cognitoidp.UserPoolMfaTypeOn:
		return errImportRow("cognito:mfa_enabled does not agree with the user pool")
	case enabled == "true" && u.attributes()[attrPhone] == "":
		return errImportRow("cognito:mfa_enabled needs a phone_number")
	case enabled == "true":
		u.mfa().Enabled, u.mfa().Preferred = []string{factorSMS}, factorSMS
	}
	return nil
}
