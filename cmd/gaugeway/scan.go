package main

import "net/http"

func (g *instance) scan(w http.ResponseWriter, r *http.Request) {}
