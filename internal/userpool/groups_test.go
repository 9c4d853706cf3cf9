package userpool

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
)

func TestGroups(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		ctx := t.Context()
		pool := &app.pool
		role := aws.String("arn:aws:iam::123456789012:role/admins")
		created, err := ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: pool, GroupName: aws.String("admins"), RoleArn: role, Precedence: aws.Int32(0), Description: aws.String("those who may")})
		if err != nil {
			t.Fatal(err)
		}
		if g := created.Group; *g.GroupName != "admins" || *g.RoleArn != *role || *g.Precedence != 0 || *g.UserPoolId != app.pool || g.CreationDate == nil {
			t.Errorf("created %+v", g)
		}
		_, err = ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: pool, GroupName: aws.String("admins")})
		wantError(t, "a group that exists", err, "GroupExistsException", "A group with the name already exists.")
		updated, err := ts.sdk.UpdateGroup(ctx, &cip.UpdateGroupInput{UserPoolId: pool, GroupName: aws.String("admins"), Precedence: aws.Int32(5)})
		if err != nil || *updated.Group.Precedence != 5 || *updated.Group.RoleArn != *role || *updated.Group.Description != "those who may" {
			t.Errorf("updated %+v, error %v", updated, err)
		}
		got, err := ts.sdk.GetGroup(ctx, &cip.GetGroupInput{UserPoolId: pool, GroupName: aws.String("admins")})
		if err != nil || *got.Group.Precedence != 5 {
			t.Errorf("got %+v, error %v", got, err)
		}

		app.mustCreate(t, "ann")
		app.mustCreate(t, "bob")
		for _, name := range []string{"b", "c", "Admins"} {
			if _, err := ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: pool, GroupName: &name}); err != nil {
				t.Fatal(err)
			}
		}
		add := func(user, group string) error {
			_, err := ts.sdk.AdminAddUserToGroup(ctx, &cip.AdminAddUserToGroupInput{UserPoolId: pool, Username: &user, GroupName: &group})
			return err
		}
		remove := func(user, group string) error {
			_, err := ts.sdk.AdminRemoveUserFromGroup(ctx, &cip.AdminRemoveUserFromGroupInput{UserPoolId: pool, Username: &user, GroupName: &group})
			return err
		}
		for _, m := range [][2]string{{"ann", "admins"}, {"ann", "admins"}, {"ann", "b"}, {"ann", "Admins"}, {"bob", "admins"}} {
			if err := add(m[0], m[1]); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, "an unknown group", add("ann", "none"), "ResourceNotFoundException", "Group not found.")
		wantError(t, "an unknown user", add("none", "b"), "UserNotFoundException", "User does not exist.")
		wantError(t, "removing from an unknown group", remove("ann", "none"), "ResourceNotFoundException", "Group not found.")
		if err := remove("bob", "b"); err != nil {
			t.Errorf("removing who is no member: %v", err)
		}

		groupsOf := func(user string) []string {
			t.Helper()
			var names []string
			list := cip.NewAdminListGroupsForUserPaginator(ts.sdk, &cip.AdminListGroupsForUserInput{UserPoolId: pool, Username: &user, Limit: aws.Int32(1)})
			for list.HasMorePages() {
				page, err := list.NextPage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range page.Groups {
					names = append(names, *g.GroupName)
				}
			}
			return names
		}
		if names := groupsOf("ann"); !slices.Equal(names, []string{"Admins", "admins", "b"}) {
			t.Errorf("groups of ann: %v", names)
		}
		p, err := ts.Service.pool(ctx, app.pool)
		if err != nil {
			t.Fatal(err)
		}
		ordered, err := ts.groupsOf(ctx, ts.DB, p, "ann")
		if err != nil || len(ordered) != 3 || ordered[0].Name != "admins" || ordered[1].Name != "Admins" || ordered[2].Name != "b" {
			t.Errorf("groups in order of precedence: %+v, error %v", ordered, err)
		}
		var members []string
		list := cip.NewListUsersInGroupPaginator(ts.sdk, &cip.ListUsersInGroupInput{UserPoolId: pool, GroupName: aws.String("admins"), Limit: aws.Int32(1)})
		for list.HasMorePages() {
			page, err := list.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page.Users {
				members = append(members, *u.Username)
			}
		}
		if !slices.Equal(members, []string{"ann", "bob"}) {
			t.Errorf("members %v", members)
		}
		var all []string
		groups := cip.NewListGroupsPaginator(ts.sdk, &cip.ListGroupsInput{UserPoolId: pool, Limit: aws.Int32(3)})
		for groups.HasMorePages() {
			page, err := groups.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range page.Groups {
				all = append(all, *g.GroupName)
			}
		}
		if !slices.Equal(all, []string{"Admins", "admins", "b", "c"}) {
			t.Errorf("groups %v", all)
		}

		if err := remove("ann", "b"); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.DeleteGroup(ctx, &cip.DeleteGroupInput{UserPoolId: pool, GroupName: aws.String("admins")}); err != nil {
			t.Fatal(err)
		}
		if names := groupsOf("ann"); !slices.Equal(names, []string{"Admins"}) {
			t.Errorf("groups of ann: %v", names)
		}
		for name, call := range map[string]func() error{
			"GetGroup": func() error {
				_, err := ts.sdk.GetGroup(ctx, &cip.GetGroupInput{UserPoolId: pool, GroupName: aws.String("admins")})
				return err
			},
			"UpdateGroup": func() error {
				_, err := ts.sdk.UpdateGroup(ctx, &cip.UpdateGroupInput{UserPoolId: pool, GroupName: aws.String("admins")})
				return err
			},
			"DeleteGroup": func() error {
				_, err := ts.sdk.DeleteGroup(ctx, &cip.DeleteGroupInput{UserPoolId: pool, GroupName: aws.String("admins")})
				return err
			},
			"ListUsersInGroup": func() error {
				_, err := ts.sdk.ListUsersInGroup(ctx, &cip.ListUsersInGroupInput{UserPoolId: pool, GroupName: aws.String("admins")})
				return err
			},
		} {
			wantError(t, name, call(), "ResourceNotFoundException", "Group not found.")
		}
		// A group of the same name has none of the members that the deleted one had.
		if _, err := ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: pool, GroupName: aws.String("admins")}); err != nil {
			t.Fatal(err)
		}
		if page, err := ts.sdk.ListUsersInGroup(ctx, &cip.ListUsersInGroupInput{UserPoolId: pool, GroupName: aws.String("admins")}); err != nil || len(page.Users) != 0 {
			t.Errorf("members %+v, error %v", page, err)
		}

		for i := range maxGroupsOfUser {
			name := fmt.Sprint("n", i)
			if _, err := ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: pool, GroupName: &name}); err != nil {
				t.Fatal(err)
			}
			if err := add("bob", name); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, "one group more", add("bob", "b"), "LimitExceededException", "")
	})
}
