package userpool

import (
	"usher/internal/api/cognitoidp"
)

// wireUser returns a user as administrators see him.
func wireUser(p *pool, u *user) *cognitoidp.UserType {
	return &cognitoidp.UserType{
		Username:             &u.Username,
		Attributes:           wireAttributes(p, u, func(string) bool { return true }),
		UserCreateDate:       new(timeOf(u.Created)),
		UserLastModifiedDate: new(timeOf(u.Modified)),
		Enabled:              &u.Enabled,
		UserStatus:           &u.Status,
	}
}

// wireAttributes returns the user's attributes that are visible, in the order of the schema: sub is the first.
func wireAttributes(p *pool, u *user, visible func(name string) bool) []cognitoidp.AttributeType {
	attributes := []cognitoidp.AttributeType{}
	for i := range p.Settings.SchemaAttributes {
		name := p.Settings.SchemaAttributes[i].Name
		value := u.attributes()[*name]
		if *name == attrSub {
			value = u.Sub
		}
		if *name == attrIdentities {
			value = u.identitiesText()
		}
		if value != "" && visible(*name) {
			attributes = append(attributes, cognitoidp.AttributeType{Name: name, Value: &value})
		}
	}
	return attributes
}

// wirePool returns a pool as DescribeUserPool answers it.
func wirePool(p *pool, users int32) *cognitoidp.UserPoolType {
	w := p.Settings
	w.Id, w.Arn = &p.ID, new(poolARN(p.AccountID, p.ID))
	w.CreationDate, w.LastModifiedDate = &p.Created, &p.Modified
	w.EstimatedNumberOfUsers = &users
	return &w
}

// wireClient returns a client as DescribeUserPoolClient answers it.
func wireClient(c *client) *cognitoidp.UserPoolClientType {
	w := c.Settings
	w.UserPoolId, w.ClientId = &c.PoolID, &c.ID
	w.CreationDate, w.LastModifiedDate = &c.Created, &c.Modified
	if len(c.Secrets) > 0 {
		w.ClientSecret = &c.Secrets[0]
	}
	return &w
}

// wireGroup returns a group.
func wireGroup(g *group) *cognitoidp.GroupType {
	w := &cognitoidp.GroupType{
		GroupName: &g.Name, UserPoolId: &g.PoolID, Description: g.Description, RoleArn: g.RoleArn,
		CreationDate: new(timeOf(g.Created)), LastModifiedDate: new(timeOf(g.Modified)),
	}
	if g.Precedence != nil {
		w.Precedence = new(int32(*g.Precedence))
	}
	return w
}

func wireGroups(groups []group) []cognitoidp.GroupType {
	list := make([]cognitoidp.GroupType, len(groups))
	for i := range groups {
		list[i] = *wireGroup(&groups[i])
	}
	return list
}
