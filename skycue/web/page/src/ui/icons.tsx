/** Icons drawn as lines on a grid of 20, in the colour of the text beside them. */

const PATHS = {
  pan: "M10 3v14M3 10h14M10 3 8 5m2-2 2 2M10 17l-2-2m2 2 2-2M3 10l2-2m-2 2 2 2M17 10l-2-2m2 2-2 2",
  box: "M11 4H4.500v11.500H16V9M15.5 1.500v6M12.5 4.500h6",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M3 8V4h4M13 4h4v4M17 12v4h-4M7 16H3v-4M7.5 8h5v4h-5z",
  undo: "M7 5 3.5 8.5 7 12M4 8.500h7.500a4 4 0 0 1 0 8H9",
  remove: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.600L14 6M8.5 9v4.500M11.5 9v4.5",
  rename: "M4 16l.7-3.200L13 4.500l2.5 2.5-8.3 8.300zM11.5 6l2.5 2.5",
  merge: "M5 4v3c0 3 5 3 5 6v3M15 4v3c0 3-5 3-5 6M8 14l2 2 2-2",
  download: "M10 3v9M6.5 9 10 12.5 13.5 9M4 16h12",
  upload: "M10 13V4M6.5 7.5 10 4l3.5 3.500M4 16h12",
  close: "M5 5l10 10M15 5 5 15",
  back: "M12 4.5 6.5 10l5.5 5.5",
  help: "M7.5 7.500a2.5 2.5 0 1 1 3.6 2.200c-.8.4-1.1.9-1.1 1.800M10 14.500v.1",
  sun: "M10 6.500a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1.1 1.100M14.6 14.600l1.1 1.100M4.3 15.700l1.1-1.100M14.6 5.400l1.1-1.1",
  moon: "M16 11.800A6.5 6.5 0 0 1 8.2 4 6.5 6.5 0 1 0 16 11.8",
  flag: "M5 17V4M5 4h9l-2 3 2 3H5",
  image: "M3.5 5h13v10h-13zM3.5 13l4-4 3.5 3.5 2-2 3.5 3.5",
  eye: "M2.5 10S5.5 5 10 5s7.5 5 7.5 5-3 5-7.5 5-7.5-5-7.5-5M10 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  hidden: "M2.5 10S5.5 5 10 5s7.5 5 7.5 5-3 5-7.5 5-7.5-5-7.5-5M4 16 16 4",
  spark: "M10 3l1.7 5.300L17 10l-5.3 1.700L10 17l-1.7-5.300L3 10l5.3-1.700z",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon; the text or the label of what holds it says what it means. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
