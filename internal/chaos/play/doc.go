// Package play plays games against real workers while it breaks what they stand
// on, and records every call for package chaos to judge.
//
// A game behaves as the guide for game servers tells: it attaches with a boot ID
// and resumes its sessions, applies before it confirms, repeats a Quit until it
// is answered, captures anew after a failed Save, freezes its players while it
// has no link, and removes those whose sessions are lost. Players hop between
// games at random, and their next Join often leaves before their last Quit. Now
// and then somebody tries to play a player who is on another server.
package play
