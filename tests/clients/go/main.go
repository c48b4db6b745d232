// A caller in Go: it makes a user, reads, lists and renames it, and deletes it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	marketplace "example.com/client/marketplace/v1"
)

func main() {
	// It bounds a server that does not answer, and nothing else.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	channel, err := grpc.DialContext(ctx, os.Args[1], grpc.WithInsecure(), grpc.WithBlock())
	check(err)
	defer channel.Close()
	users := marketplace.NewUserServiceClient(channel)

	made, err := users.CreateUser(ctx, &marketplace.CreateUserRequest{
		User: &marketplace.User{Email: "gopher@example.com", Username: "gopher"},
	})
	check(err)
	read, err := users.GetUser(ctx, &marketplace.GetUserRequest{Name: made.Name})
	check(err)
	if !proto.Equal(made, read) {
		log.Fatalf("made %v and read %v", made, read)
	}
	page, err := users.ListUsers(ctx, &marketplace.ListUsersRequest{PageSize: 10})
	check(err)
	if len(page.Users) != 1 {
		log.Fatalf("listed %v", page)
	}
	renamed, err := users.UpdateUser(ctx, &marketplace.UpdateUserRequest{
		User:       &marketplace.User{Name: made.Name, FullName: "A Gopher"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"full_name"}},
	})
	check(err)
	_, err = users.DeleteUser(ctx, &marketplace.DeleteUserRequest{Name: made.Name})
	check(err)
	if _, err = users.DeleteUser(ctx, &marketplace.DeleteUserRequest{Name: made.Name}); status.Code(err) != codes.NotFound {
		log.Fatalf("a deleted user is deleted again with %v", err)
	}
	fmt.Println(renamed.Name, renamed.FullName)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
