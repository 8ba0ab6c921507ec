// Build the page into ../static, so that the same sources always give the same bytes.
//
//   node build.mjs           write the bundle
//   node build.mjs --check   build elsewhere and fail if one byte differs from what is committed
//   node build.mjs --test    bundle and run the tests of test/
//   node build.mjs --watch   write it, unminified, again after every change
//
// Sources, lockfile and outputs are recorded with their SHA-256 in static/build.json: the Python
// test `tests/web/test_page_bundle.py` sees without Node that a bundle belongs to its sources.
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const PAGE = dirname(fileURLToPath(import.meta.url));
const STATIC = join(PAGE, "..", "static");
const RECORD = "build.json";
/** What decides the bytes of the bundle, apart from src/. */
const SETTINGS = ["build.mjs", "index.html", "icon.svg", "package.json", "package-lock.json", "tsconfig.json"];
/** Browsers of the last years; older ones get plain errors instead of half a page. */
const TARGET = ["chrome111", "firefox121", "safari16.4"];
const LICENCE_NAMES = /^(licen[cs]e|copying|notice)(\.|$)/i;

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** All files below a folder, as sorted paths with forward slashes. */
function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function hashes(root, paths) {
  const named = paths.map((path) => [relative(root, path).split(sep).join("/"), sha256(readFileSync(path))]);
  return Object.fromEntries(named.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The licences of every package of which at least one byte is in the bundle. */
function licencesOf(metafile) {
  const inputs = Object.values(metafile.outputs).flatMap((output) =>
    Object.entries(output.inputs).filter(([, part]) => part.bytesInOutput > 0).map(([path]) => path),
  );
  const packages = new Set(
    inputs
      .map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1])
      .filter((name) => name !== undefined),
  );
  const texts = [...packages].sort().map((name) => {
    const folder = join(PAGE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const files = readdirSync(folder).filter((file) => LICENCE_NAMES.test(file)).sort();
    const text = files.map((file) => readFileSync(join(folder, file), "utf8").trim()).join("\n\n");
    return `${name} ${version} (${license})\n\n${text || "(the package holds no licence text)"}\n`;
  });
  return "The page contains parts of these packages.\n\n" + texts.join(`\n${"-".repeat(72)}\n\n`);
}

const options = (folder) => ({
  absWorkingDir: PAGE,
  entryPoints: { page: "src/main.tsx" },
  outdir: folder,
  bundle: true,
  minify: true,
  format: "esm",
  target: TARGET,
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none", // the texts stand in LICENCES.txt
  charset: "utf8",
  metafile: true,
  logLevel: "warning",
});

async function build(folder) {
  mkdirSync(folder, { recursive: true });
  const { metafile } = await esbuild.build(options(folder));
  for (const name of ["index.html", "icon.svg"]) {
    writeFileSync(join(folder, name), readFileSync(join(PAGE, name)));
  }
  writeFileSync(join(folder, "LICENCES.txt"), licencesOf(metafile));
  const outputs = filesBelow(folder).filter((path) => !path.endsWith(RECORD));
  const sources = [...filesBelow(join(PAGE, "src")), ...SETTINGS.map((name) => join(PAGE, name))];
  const record = { sources: hashes(PAGE, sources), outputs: hashes(folder, outputs) };
  writeFileSync(join(folder, RECORD), JSON.stringify(record, null, 2) + "\n");
  return record;
}

async function check() {
  const folder = mkdtempSync(join(tmpdir(), "skycue-page-"));
  try {
    await build(folder);
    const names = new Set([folder, STATIC].flatMap((root) => filesBelow(root).map((path) => relative(root, path))));
    const differing = [...names].filter((name) => {
      const [built, committed] = [folder, STATIC].map((root) => {
        try {
          return sha256(readFileSync(join(root, name)));
        } catch {
          return "absent";
        }
      });
      return built !== committed;
    });
    if (differing.length > 0) {
      console.error(`the committed bundle is not what its sources give: ${differing.sort().join(", ")}. Run \`make page\` and commit skycue/web/static.`);
      return 1;
    }
    console.log(`the committed bundle is what its sources give (${names.size} files)`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function test() {
  const folder = mkdtempSync(join(tmpdir(), "skycue-page-test-"));
  try {
    const entryPoints = filesBelow(join(PAGE, "test")).filter((path) => path.endsWith(".test.ts"));
    await esbuild.build({
      absWorkingDir: PAGE, entryPoints, outdir: folder, outExtension: { ".js": ".mjs" },
      bundle: true, platform: "node", format: "esm", logLevel: "warning",
    });
    const files = filesBelow(folder).filter((path) => path.endsWith(".mjs"));
    return spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function watch() {
  const context = await esbuild.context({ ...options(STATIC), minify: false, sourcemap: "inline" });
  await context.watch();
  console.log("watching src; stop with Ctrl+C, then `npm run build` before a commit");
}

const mode = process.argv[2] ?? "";
if (mode === "--check") process.exitCode = await check();
else if (mode === "--test") process.exitCode = await test();
else if (mode === "--watch") await watch();
else {
  const { outputs } = await build(STATIC);
  for (const [name, hash] of Object.entries(outputs)) console.log(hash.slice(0, 12), name);
}
