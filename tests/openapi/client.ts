// Compiled, not run: what a program does with the types that openapi-typescript generates.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const panel = createClient<paths>({ baseUrl: "https://panel.example.com" });

export async function toEvent(server: string): Promise<components["schemas"]["Change"]["state"] | null> {
  const { data, error } = await panel.PUT("/api/v1/servers/{server}/mpm", {
    params: { path: { server } },
    body: { mpm: "event" },
  });
  if (error) {
    const first = error.errors?.[0];
    throw new Error(`${error.code}: ${first?.pointer ?? first?.parameter ?? error.detail}`);
  }
  const change = data.change;
  if (change === null) return null;
  const back = await panel.POST("/api/v1/changes/{change}/rollback", {
    params: { path: { change: String(change.id) } },
  });
  if (back.error) throw new Error(back.error.detail);
  return back.data.state;
}

export async function failures(): Promise<number[]> {
  const { data } = await panel.GET("/api/v1/changes", {
    params: { query: { state: ["failed", "restored"], from: "prefork" } },
  });
  return (data?.items ?? []).filter((item) => item.to.mpm === "event").map((item) => item.id);
}
