/** Messages of the server, in which commands stand between backticks. */

/** The text of a message; every second piece between backticks is code. */
export function Words({ text }: { text: string }) {
  const pieces = text.split("`");
  return <>{pieces.map((piece, index) => (index % 2 === 1 ? <code key={index}>{piece}</code> : piece))}</>;
}
