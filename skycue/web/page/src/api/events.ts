/** Server-sent events of a response to POST, which the browser's `EventSource` cannot send. */

export interface ServerEvent {
  event: string;
  data: string;
}

/**
 * Cut a stream of text into events, as the HTML standard says (section 9.2.6): fields in lines, an
 * empty line ends an event, lines that begin with a colon are comments. Pieces may end anywhere.
 */
export class EventParser {
  private rest = "";
  private event = "";
  private data: string[] = [];

  /** Take the next piece; return the events that it completes. */
  push(piece: string): ServerEvent[] {
    const text = this.rest + piece;
    const isOpen = text.endsWith("\r"); // its \n may come with the next piece
    const lines = (isOpen ? text.slice(0, -1) : text).split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? "") + (isOpen ? "\r" : "");
    return lines.flatMap((line) => this.take(line));
  }

  private take(line: string): ServerEvent[] {
    if (line === "") {
      const complete = this.data.length > 0 ? [{ event: this.event || "message", data: this.data.join("\n") }] : [];
      this.event = "";
      this.data = [];
      return complete;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "event") this.event = value ?? "";
    if (field === "data") this.data.push(value ?? "");
    return [];
  }
}

/** Yield the events of a response while they arrive. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}
