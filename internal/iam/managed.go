package iam

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base32"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"usher/internal/db"
)

// managedPolicies are policies that AWS publishes for every account, one JSON object each.
//
//go:embed managed.json
var managedPolicies []byte

// rootTaskPolicies begin the ARNs of the policies that sts:AssumeRoot takes, and nothing else.
const rootTaskPolicies = "arn:aws:iam::aws:policy/root-task/"

// awsManaged are AWS's own managed policies by ARN, awsManagedList the same in order of their names.
var awsManaged, awsManagedList = loadManaged(managedPolicies)

func loadManaged(data []byte) (map[string]*managed, []*managed) {
	var all []struct {
		ARN         string
		Version     string
		Date        time.Time // of the version
		Description string
		Document    json.RawMessage
	}
	if err := json.Unmarshal(data, &all); err != nil {
		panic("iam: managed.json: " + err.Error())
	}
	byARN := map[string]*managed{}
	var list []*managed
	for _, p := range all {
		date := p.Date.UnixMicro()
		m := &managed{ARN: p.ARN, AccountID: awsAccount, Name: policyName(p.ARN), NameKey: strings.ToLower(policyName(p.ARN)), Path: policyPath(p.ARN), Created: date}
		m.Doc = db.JSON[managedDoc]{V: managedDoc{ID: managedID(p.ARN), Description: p.Description, Default: p.Version, Updated: date,
			Versions: []version{{ID: p.Version, Document: string(p.Document), Created: date}}}}
		byARN[p.ARN] = m
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *managed) int { return strings.Compare(a.NameKey, b.NameKey) })
	return byARN, list
}

// managedID gives a policy of AWS a unique id that is the same everywhere.
func managedID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "ANPA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
