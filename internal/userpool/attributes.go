package userpool

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"usher/internal/api/cognitoidp"
)

// maxAttribute is the most characters that an attribute's value can have.
const maxAttribute = 2048

// Types of attributes.
const (
	typeString   = cognitoidp.AttributeDataTypeString
	typeNumber   = cognitoidp.AttributeDataTypeNumber
	typeDateTime = cognitoidp.AttributeDataTypeDateTime
	typeBoolean  = cognitoidp.AttributeDataTypeBoolean
)

// standardAttributes returns the schema of a pool that defines none: the standard claims of OpenID Connect, in the order in
// which DescribeUserPool lists them ("Working with user attributes").
func standardAttributes() []cognitoidp.SchemaAttributeType {
	const longest = "2048"
	text := func(name, shortest, longest string) cognitoidp.SchemaAttributeType {
		a := schemaAttribute(name, typeString)
		a.StringAttributeConstraints = &cognitoidp.StringAttributeConstraintsType{MinLength: &shortest, MaxLength: &longest}
		return a
	}
	sub := text(attrSub, "1", longest)
	sub.Mutable, sub.Required = new(false), new(true)
	schema := []cognitoidp.SchemaAttributeType{sub}
	for _, name := range []string{"name", "given_name", "family_name", "middle_name", "nickname", attrPreferredUsername, "profile",
		"picture", "website", attrEmail} {
		schema = append(schema, text(name, "0", longest))
	}
	schema = append(schema, schemaAttribute(attrEmailVerified, typeBoolean), text("gender", "0", longest), text("birthdate", "10", "10"))
	for _, name := range []string{"zoneinfo", "locale", attrPhone} {
		schema = append(schema, text(name, "0", longest))
	}
	updated := schemaAttribute("updated_at", typeNumber)
	updated.NumberAttributeConstraints = &cognitoidp.NumberAttributeConstraintsType{MinValue: new("0")}
	return append(schema, schemaAttribute(attrPhoneVerified, typeBoolean), text("address", "0", longest), updated)
}

func schemaAttribute(name, kind string) cognitoidp.SchemaAttributeType {
	return cognitoidp.SchemaAttributeType{
		Name: &name, AttributeDataType: &kind, DeveloperOnlyAttribute: new(false), Mutable: new(true), Required: new(false),
	}
}

// defineAttributes returns the schema of a new pool: the standard attributes as in changes them, and the custom attributes
// that it adds.
func defineAttributes(in []cognitoidp.SchemaAttributeType) ([]cognitoidp.SchemaAttributeType, error) {
	schema := standardAttributes()
	var custom []cognitoidp.SchemaAttributeType
	for _, a := range in {
		i := slices.IndexFunc(schema, func(s cognitoidp.SchemaAttributeType) bool { return *s.Name == deref(a.Name) })
		if i < 0 {
			custom = append(custom, a)
			continue
		}
		if err := refineStandard(&schema[i], a); err != nil {
			return nil, err
		}
	}
	return addCustomAttributes(schema, custom)
}

// refineStandard changes what can be changed of a standard attribute when the pool is created.
func refineStandard(s *cognitoidp.SchemaAttributeType, a cognitoidp.SchemaAttributeType) error {
	name := *s.Name
	if a.AttributeDataType != nil && *a.AttributeDataType != *s.AttributeDataType || deref(a.DeveloperOnlyAttribute) {
		return errAttributeDefinition("You can not change AttributeDataType or set developerOnlyAttribute for standard schema attribute %s", name)
	}
	if name == attrSub && (deref(a.Mutable) || a.Required != nil && !*a.Required) {
		return errAttributeDefinition("%s: The attribute is required and cannot be changed.", name)
	}
	if a.Mutable != nil {
		s.Mutable = a.Mutable
	}
	if a.Required != nil {
		s.Required = a.Required
	}
	return constrain(s, a)
}

// addCustomAttributes appends attributes of the pool's own to a schema.
func addCustomAttributes(schema, in []cognitoidp.SchemaAttributeType) ([]cognitoidp.SchemaAttributeType, error) {
	for _, a := range in {
		if deref(a.Name) == "" {
			return nil, errAttributeUnnamed
		}
		if a.AttributeDataType == nil {
			return nil, errAttributeType
		}
		if deref(a.Required) {
			return nil, errCustomRequired
		}
		name := "custom:" + *a.Name
		if deref(a.DeveloperOnlyAttribute) {
			name = "dev:" + name
		}
		if slices.ContainsFunc(schema, func(s cognitoidp.SchemaAttributeType) bool { return *s.Name == name }) {
			return nil, errAttributeExists(name)
		}
		s := schemaAttribute(name, *a.AttributeDataType)
		s.DeveloperOnlyAttribute = new(deref(a.DeveloperOnlyAttribute))
		if a.Mutable != nil {
			s.Mutable = a.Mutable
		}
		switch *a.AttributeDataType {
		case typeString:
			s.StringAttributeConstraints = &cognitoidp.StringAttributeConstraintsType{}
		case typeNumber:
			s.NumberAttributeConstraints = &cognitoidp.NumberAttributeConstraintsType{}
		}
		if err := constrain(&s, a); err != nil {
			return nil, err
		}
		schema = append(schema, s)
	}
	custom := 0
	for i := range schema {
		if strings.Contains(*schema[i].Name, ":") {
			custom++
		}
	}
	if custom > maxCustomAttributes {
		return nil, errLimit("custom attributes", maxCustomAttributes)
	}
	return schema, nil
}

// constrain takes over the constraints of a that fit the type of s.
func constrain(s *cognitoidp.SchemaAttributeType, a cognitoidp.SchemaAttributeType) error {
	name := *s.Name
	if c := a.StringAttributeConstraints; c != nil {
		if *s.AttributeDataType != typeString {
			return errAttributeDefinition("%s: Only a String attribute can have string constraints.", name)
		}
		shortest, err := length(c.MinLength, 0)
		longest, err2 := length(c.MaxLength, maxAttribute)
		if err != nil || err2 != nil || shortest > longest {
			return errAttributeDefinition("%s: Invalid string constraints.", name)
		}
		s.StringAttributeConstraints = c
	}
	if c := a.NumberAttributeConstraints; c != nil {
		if *s.AttributeDataType != typeNumber {
			return errAttributeDefinition("%s: Only a Number attribute can have number constraints.", name)
		}
		least, most := number(deref(c.MinValue)), number(deref(c.MaxValue))
		if c.MinValue != nil && least == nil || c.MaxValue != nil && most == nil || least != nil && most != nil && least.Cmp(most) > 0 {
			return errAttributeDefinition("%s: Invalid number constraints.", name)
		}
		s.NumberAttributeConstraints = c
	}
	return nil
}

// length reads a bound of a string's length.
func length(s *string, unset int) (int, error) {
	if s == nil {
		return unset, nil
	}
	n, err := strconv.ParseUint(*s, 10, 16)
	if err == nil && n > maxAttribute {
		err = strconv.ErrRange
	}
	return int(n), err
}

// maxNumber bounds the digits of a number: 2^1023 has 308.
const maxNumber = 309

// number reads an integer; nil if it is none, or beyond 2^1023.
func number(s string) *big.Int {
	if len(s) > maxNumber+1 {
		return nil
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.BitLen() > 1024 {
		return nil
	}
	return n
}

// readAttributes checks the attributes of a request and returns their values by name; an empty value deletes the
// attribute. c is the client through which a user writes his own attributes; nil is an administrator, who may also write
// what no user may. u is the user to be changed, nil while one is created: only then immutable attributes can be written,
// apart from required ones that an administrator left out.
func (p *pool) readAttributes(in []cognitoidp.AttributeType, c *client, u *user) (map[string]string, error) {
	values := make(map[string]string, len(in))
	for _, a := range in {
		name, value := *a.Name, deref(a.Value)
		schema := p.schema[name]
		switch {
		case schema == nil && c == nil:
			return nil, errSchemaNoType(name)
		case schema == nil && u == nil:
			return nil, errSchemaNoAttribute(name)
		case schema == nil:
			return nil, errUpdateNoAttribute(name)
		case c != nil && !c.writable(name):
			return nil, errUnauthorizedWrite
		case name == attrSub, name == attrIdentities, u != nil && !*schema.Mutable && !(*schema.Required && u.attributes()[name] == ""):
			return nil, errImmutable(name)
		}
		if value != "" {
			if err := checkValue(schema, value); err != nil {
				return nil, err
			}
		}
		if name == attrPreferredUsername && p.isAlias(attrPreferredUsername) && p.aliasKind(value) != attrPreferredUsername {
			return nil, errPreferredIsAlias
		}
		values[name] = value
	}
	return values, nil
}

// checkRequired checks that a user who signs up has a value for each attribute that the schema requires.
func (p *pool) checkRequired(values map[string]string) error {
	var missing strings.Builder
	for i := range p.Settings.SchemaAttributes {
		a := &p.Settings.SchemaAttributes[i]
		if *a.Required && *a.Name != attrSub && values[*a.Name] == "" {
			missing.WriteString(*a.Name + ": The attribute " + *a.Name + " is required\n")
		}
	}
	if missing.Len() > 0 {
		return errSchema(missing.String())
	}
	return nil
}

// missingRequired returns the required attributes that the user has no value for, in the order of the schema.
func (p *pool) missingRequired(u *user) []string {
	var missing []string
	for i := range p.Settings.SchemaAttributes {
		a := &p.Settings.SchemaAttributes[i]
		if *a.Required && *a.Name != attrSub && u.attributes()[*a.Name] == "" {
			missing = append(missing, *a.Name)
		}
	}
	return missing
}

// checkValue checks a value against the type, the constraints and the format of an attribute.
func checkValue(a *cognitoidp.SchemaAttributeType, value string) error {
	name := *a.Name
	if strings.Contains(value, "\x00") {
		return errSchema(name + ": Attribute value must not contain a null character")
	}
	switch *a.AttributeDataType {
	case typeNumber:
		n := number(value)
		if n == nil {
			return errSchema(name + ": Attribute value must be a number")
		}
		if c := a.NumberAttributeConstraints; c != nil {
			if least := number(deref(c.MinValue)); least != nil && n.Cmp(least) < 0 {
				return errSchema(name + ": Number must be no less than " + *c.MinValue)
			}
			if most := number(deref(c.MaxValue)); most != nil && n.Cmp(most) > 0 {
				return errSchema(name + ": Number must be no more than " + *c.MaxValue)
			}
		}
	case typeBoolean:
		if value != "true" && value != "false" {
			return errSchema(name + ": Attribute value must be true or false")
		}
	case typeDateTime:
		if !isDateTime(value) {
			return errSchema(name + ": Attribute value must be a date and time")
		}
	default:
		n := utf8.RuneCountInString(value)
		shortest, longest := 0, maxAttribute
		if c := a.StringAttributeConstraints; c != nil {
			shortest, _ = length(c.MinLength, 0)
			longest, _ = length(c.MaxLength, maxAttribute)
		}
		if n < shortest {
			return errSchema(name + ": String must be no shorter than " + strconv.Itoa(shortest) + " characters")
		}
		if n > longest {
			return errSchema(name + ": String must be no longer than " + strconv.Itoa(longest) + " characters")
		}
	}
	switch name {
	case attrEmail:
		if !isEmail(value) {
			return errEmailFormat
		}
	case attrPhone:
		if !isPhone(value) {
			return errPhoneFormat
		}
	case "birthdate":
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return errSchema(name + ": Invalid birthdate format. Please use the format YYYY-MM-DD")
		}
	}
	return nil
}

// isDateTime accepts RFC 3339, a date, and seconds since 1970.
func isDateTime(value string) bool {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if _, err := time.Parse(layout, value); err == nil {
			return true
		}
	}
	_, err := strconv.ParseFloat(value, 64)
	return err == nil
}

// isEmail accepts what can be an address: no blanks, quotes, brackets or separators, which keeps it one word in the
// header of a message, and a domain of labels.
func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(local) > 64 || len(domain) > 255 {
		return false
	}
	for _, r := range local {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`"(),:;<>@[\]`, r) {
			return false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
				return false
			}
		}
	}
	return true
}

// isPhone accepts numbers as in E.164: + and up to 15 digits.
func isPhone(s string) bool {
	return len(s) >= 2 && len(s) <= 16 && s[0] == '+' && strings.Trim(s[1:], "0123456789") == ""
}

// update edits the attributes of a user as UpdateUserAttributes does (c is the client) and AdminUpdateUserAttributes (c is
// nil), and returns which of email and phone_number need a code sent: to the pending value if there is one.
//
// A new value of those two is not verified, unless an administrator says so in the same request. Where the pool verifies
// before it updates, the new value waits and the old one stays.
func (p *pool) update(u *user, values map[string]string, c *client) (verify []string, err error) {
	for name, value := range values {
		switch name {
		case attrEmail, attrPhone, attrEmailVerified, attrPhoneVerified:
		case attrPreferredUsername:
			if p.isAlias(name) && u.Status == cognitoidp.UserStatusTypeUnconfirmed && c != nil {
				return nil, errPreferredTooEarly
			}
			u.set(name, value)
		default:
			u.set(name, value)
		}
	}
	for _, attr := range []string{attrEmail, attrPhone} {
		flag, flagged := values[attr+"_verified"]
		value, given := values[attr]
		switch {
		case !given || value == u.attributes()[attr]:
			if given {
				delete(u.Doc.V.Pending, attr)
			}
		case value == "":
			u.remove(attr)
		case flag == "true":
			u.set(attr, value)
			delete(u.Doc.V.Pending, attr)
		case p.verifiesBeforeUpdate(attr):
			if u.Doc.V.Pending == nil {
				u.Doc.V.Pending = map[string]string{}
			}
			u.Doc.V.Pending[attr] = value
			verify = append(verify, attr)
		default:
			u.set(attr, value)
			u.set(attr+"_verified", "false")
			if p.autoVerifies(attr) {
				verify = append(verify, attr)
			}
		}
		if flagged {
			if u.attributes()[attr] == "" && flag != "" {
				return nil, errNothingToVerify(attr)
			}
			u.set(attr+"_verified", flag)
		}
	}
	return verify, nil
}

// remove deletes an attribute, and what is known of email and phone_number beside the value. Codes cannot go there any more.
func (u *user) remove(attr string) {
	u.set(attr, "")
	if attr == attrEmail || attr == attrPhone {
		u.set(attr+"_verified", "")
		delete(u.Doc.V.Pending, attr)
		for _, f := range factors {
			if addressOf(f) == attr {
				u.mfa().enable(f, false)
			}
		}
	}
}

// deleteAttributes edits a user as DeleteUserAttributes does (c is the client) and AdminDeleteUserAttributes (c is nil).
func (p *pool) deleteAttributes(u *user, names []string, c *client) error {
	for _, name := range names {
		schema := p.schema[name]
		switch {
		case schema == nil:
			return errUpdateNoAttribute(name)
		case c != nil && !c.writable(name):
			return errUnauthorizedWrite
		case name == attrSub || name == attrIdentities || !*schema.Mutable:
			return errImmutable(name)
		case *schema.Required:
			return errRequiredDelete(name)
		}
		u.remove(name)
	}
	return nil
}

// readable reports whether the client sees an attribute. Without a list it sees all that clients can see.
func (c *client) readable(attr string) bool {
	a := c.schema[attr]
	if a == nil || *a.DeveloperOnlyAttribute {
		return attr == attrIdentities && c.Settings.ReadAttributes == nil
	}
	return attr == attrSub || c.Settings.ReadAttributes == nil || slices.Contains(c.Settings.ReadAttributes, attr)
}

// writable reports whether users can set an attribute through the client. Without a list they can set all that users can.
func (c *client) writable(attr string) bool {
	a := c.schema[attr]
	if a == nil || !userWritable(a) {
		return false
	}
	return c.Settings.WriteAttributes == nil || slices.Contains(c.Settings.WriteAttributes, attr)
}

// userWritable reports whether users can ever set an attribute themselves.
func userWritable(a *cognitoidp.SchemaAttributeType) bool {
	switch *a.Name {
	case attrSub, attrEmailVerified, attrPhoneVerified, attrIdentities:
		return false
	}
	return !*a.DeveloperOnlyAttribute
}
