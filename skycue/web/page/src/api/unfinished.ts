/**
 * Uploads that have not been finished, by the file they are of. The browser keeps the list, so an
 * upload goes on after the page was closed: the server has the bytes, the user chooses the file again.
 */

const KEY = "skycue.uploads";

/** What the browser remembers of an upload. */
export interface Unfinished {
  id: string;
  name: string;
  bytes: number;
  /** When the file was last changed, in milliseconds since 1970. */
  modified: number;
}

/** A file as far as it tells one from another. */
type Identity = Pick<File, "name" | "size" | "lastModified">;

/** All that are remembered, the oldest first. */
export function unfinishedUploads(): Unfinished[] {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]") as Unfinished[];
  } catch {
    return []; // written by somebody else
  }
}

/** The upload of a file that was begun and not finished. */
export function recall(file: Identity): Unfinished | null {
  const isOf = ({ name, bytes, modified }: Unfinished): boolean =>
    name === file.name && bytes === file.size && modified === file.lastModified;
  return unfinishedUploads().findLast(isOf) ?? null;
}

/** Remember an upload that has begun. */
export function remember(id: string, file: Identity): void {
  keep([...unfinishedUploads(), { id, name: file.name, bytes: file.size, modified: file.lastModified }]);
}

/** Forget an upload that is finished, or gone. */
export function forgetUpload(id: string): void {
  keep(unfinishedUploads().filter((upload) => upload.id !== id));
}

function keep(uploads: Unfinished[]): void {
  localStorage.setItem(KEY, JSON.stringify(uploads));
}
