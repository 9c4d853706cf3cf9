package identitypool

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"usher/internal/awsapi"
)

// The model declares which errors an operation has. Every test checks that no operation answers with another; after all of them
// it is checked that each declared error was seen, or is known not to occur.

// declared are the errors of each operation in the model.
var declared = func() map[string][]string {
	text, err := os.ReadFile("../../models/cognito-identity.model")
	if err != nil {
		panic(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "op ")
		_, errs, has := strings.Cut(rest, "| err ")
		if name := strings.Fields(rest + " -")[0]; ok && has {
			for _, e := range strings.Fields(errs) {
				all[name] = append(all[name], e+"Exception")
			}
		}
	}
	return all
}()

// common are errors of every operation, which no model declares (Common Errors).
var common = []string{"AccessDeniedException", "ValidationException", "MissingAuthenticationTokenException", "InvalidSignatureException",
	"UnrecognizedClientException", "SerializationException"}

// unreachable are declared errors that do not occur, by operation and error; * is any operation.
var unreachable = map[string]string{
	"* InternalErrorException":                              "only a fault of the server's: the database or the disk",
	"* TooManyRequestsException":                            "beside guests, only the signing of tokens is limited, when more wait than can be signed in time",
	"* ConcurrentModificationException":                     "a change that meets another is done anew upon what the other left",
	"* NotAuthorizedException":                              "what the caller may not is AccessDeniedException, what is not his is unknown to him",
	"CreateIdentityPool ResourceConflictException":          "names of pools need not be unique",
	"UpdateIdentityPool ResourceConflictException":          "names of pools need not be unique",
	"GetIdentityPoolRoles ResourceConflictException":        "reading conflicts with nothing",
	"SetIdentityPoolRoles ResourceConflictException":        "the roles are replaced as a whole",
	"GetId LimitExceededException":                          "a pool may have any number of identities",
	"ListIdentityPools ResourceNotFoundException":           "the list names no resource",
	"DeleteIdentityPool InvalidParameterException":          "its input has no more than what is validated",
	"DescribeIdentityPool InvalidParameterException":        "its input has no more than what is validated",
	"DescribeIdentity InvalidParameterException":            "its input has no more than what is validated",
	"GetIdentityPoolRoles InvalidParameterException":        "its input has no more than what is validated",
	"DeleteIdentities InvalidParameterException":            "its input has no more than what is validated",
	"GetPrincipalTagAttributeMap InvalidParameterException": "its input has no more than what is validated",
	"ListTagsForResource InvalidParameterException":         "an ARN that is none names nothing",
	"UntagResource InvalidParameterException":               "an ARN that is none names nothing",
	"UnlinkIdentity ResourceConflictException":              "what is removed conflicts with nothing",
}

var errorsSeen = struct {
	sync.Mutex
	by map[string]bool // operation and error
}{by: map[string]bool{}}

// checkDeclared notes an error, and complains of one that the model does not declare.
func (w *world) checkDeclared(f awsapi.Failure) {
	if f.Service != "cognito-identity" || f.Operation == "" {
		return
	}
	w.lastFailure.Store(&f)
	errorsSeen.Lock()
	errorsSeen.by[f.Operation+" "+f.Code] = true
	errorsSeen.Unlock()
	if !slices.Contains(declared[f.Operation], f.Code) && !slices.Contains(common, f.Code) {
		w.t.Errorf("%s does not declare %s: %s", f.Operation, f.Code, f.Message)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	all := true
	for _, some := range []string{"test.run", "test.skip", "test.fuzz", "test.list"} {
		all = all && flag.Lookup(some).Value.String() == ""
	}
	if code == 0 && all {
		code = missingErrors()
	}
	os.Exit(code)
}

// missingErrors names declared errors that no test has seen.
func missingErrors() (code int) {
	for operation, list := range declared {
		for _, e := range list {
			_, never := unreachable[operation+" "+e]
			_, ever := unreachable["* "+e]
			seen := errorsSeen.by[operation+" "+e]
			if !seen && !never && !ever {
				fmt.Printf("no test has seen %s of %s\n", e, operation)
				code = 1
			} else if seen && never {
				fmt.Printf("%s of %s is said not to occur\n", e, operation)
				code = 1
			}
		}
	}
	return code
}
