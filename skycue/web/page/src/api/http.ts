/** Requests to the server, with the token where one is wanted, and errors in plain words. */

const API = "v1";
const TOKEN_KEY = "skycue.token";
const UNAUTHORIZED = 401;
/** What a proxy answers while the server behind it is away. */
const NOBODY_THERE = [502, 503, 504];

/** The server understood the request and refused it; the message is for the user. */
export class ApiError extends Error {
  constructor(
    readonly type: string,
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** No answer came: the server is gone, or the way to it. */
export class ConnectionError extends Error {
  constructor() {
    super("The server does not answer. Check that `skycue serve` is running; what it has finished is kept.");
  }
}

let token = sessionStorage.getItem(TOKEN_KEY);
let askForToken = (): void => undefined;

/** Say what is to happen when the server wants a token that we do not have. */
export function onMissingToken(ask: () => void): void {
  askForToken = ask;
}

/** Use a token from now on, until the tab is closed. */
export function setToken(value: string): void {
  token = value;
  sessionStorage.setItem(TOKEN_KEY, value);
}

/** The address of a route below `/v1`, relative to the page, so that a prefix of a proxy is kept. */
export function routeUrl(path: string): string {
  return `${API}/${path}`;
}

/**
 * Send a request and return the response if it is a success.
 *
 * @throws ApiError if the server refuses; ConnectionError if there is no answer.
 */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(routeUrl(path), { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ConnectionError();
  }
  if (response.ok) return response;
  if (response.status === UNAUTHORIZED) askForToken();
  throw await errorOf(response);
}

async function errorOf(response: Response): Promise<Error> {
  try {
    const { error } = await response.json();
    if (typeof error.type === "string" && typeof error.message === "string") {
      return new ApiError(error.type, error.message, response.status);
    }
  } catch {
    // not JSON: something between us and the server answered
  }
  if (NOBODY_THERE.includes(response.status)) return new ConnectionError();
  const what = `The server answered ${response.status}${response.statusText ? ` (${response.statusText})` : ""}`;
  return new ApiError("HttpError", `${what} and gave no reason. Its log may say more.`, response.status);
}

/** Ask for JSON. */
export async function get<T>(path: string): Promise<T> {
  return body<T>(await send(path));
}

/** Send JSON, and read JSON back. */
export async function sendJson<T>(method: "POST" | "PUT", path: string, content?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (content !== undefined) {
    init.body = JSON.stringify(content);
    init.headers = { "Content-Type": "application/json" };
  }
  return body<T>(await send(path, init));
}

/** Delete what a route names. */
export async function remove(path: string): Promise<void> {
  await send(path, { method: "DELETE" });
}

async function body<T>(response: Response): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch {
    throw new ConnectionError(); // cut off in the middle
  }
}
