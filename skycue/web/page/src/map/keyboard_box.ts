/** Drawing a box without a mouse: arrows move a cross, Enter sets its corners, Escape gives up. */
import Feature from "ol/Feature";
import LineString from "ol/geom/LineString";
import MultiLineString from "ol/geom/MultiLineString";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import type OlMap from "ol/Map";
import VectorSource from "ol/source/Vector";
import type { Box, Position, ReadyRaster } from "../api/records";
import { boxBetween, flip, ringOf } from "./pixel_grid";
import { drawingStyle } from "./styles";

/** Screen pixels of a step, and of a step with Shift. */
const STEP = 8;
const LONG_STEP = 48;
/** Screen pixels of an arm of the cross. */
const ARM = 14;
const DIRECTIONS: Readonly<Record<string, Position>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class KeyboardBox {
  private readonly source = new VectorSource({ wrapX: false });
  private cross: Position | null = null;
  private corner: Position | null = null;

  /**
   * @param say told what the next key does, for the line of status and for screen readers.
   * @param finish takes the box that was drawn.
   */
  constructor(
    private readonly map: OlMap,
    private readonly raster: () => ReadyRaster | null,
    private readonly say: (text: string) => void,
    private readonly finish: (box: Box) => void,
  ) {
    map.addLayer(new VectorLayer({ source: this.source, style: drawingStyle, zIndex: 40 }));
  }

  /** Take a key while boxes are drawn; returns whether it was used. */
  press(event: KeyboardEvent): boolean {
    const record = this.raster();
    if (record === null) return false;
    const direction = DIRECTIONS[event.key];
    if (direction !== undefined) this.move(direction, event.shiftKey ? LONG_STEP : STEP, record);
    else if (event.key === "Enter" || event.key === " ") this.mark(record);
    else if (event.key === "Escape" && this.cross !== null) this.stop();
    else return false;
    return true;
  }

  /** Take the cross away. */
  stop(): void {
    this.cross = null;
    this.corner = null;
    this.source.clear();
  }

  private move([dx, dy]: Position, step: number, record: ReadyRaster): void {
    const resolution = this.map.getView().getResolution() ?? 1;
    const from = this.cross ?? this.centre();
    this.cross = [
      Math.min(Math.max(from[0] + dx * step * resolution, 0), record.width),
      Math.min(Math.max(from[1] + dy * step * resolution, 0), record.height),
    ];
    this.keepInSight(this.cross);
    this.draw(record, resolution);
  }

  private mark(record: ReadyRaster): void {
    this.cross ??= this.centre();
    if (this.corner === null) {
      this.corner = this.cross;
      this.say("First corner set. Arrow keys move to the opposite corner, Enter sets it, Escape gives up.");
      return this.draw(record, this.map.getView().getResolution() ?? 1);
    }
    const box = boxBetween(this.corner, this.cross, record);
    if (box === null) return this.say("The box has no area yet: move the cross away from its first corner.");
    this.stop();
    this.finish(box);
  }

  private centre(): Position {
    const record = this.raster();
    const [x, y] = flip(this.map.getView().getCenter() ?? [0, 0]);
    return [Math.min(Math.max(x, 0), record?.width ?? x), Math.min(Math.max(y, 0), record?.height ?? y)];
  }

  private keepInSight(point: Position): void {
    const pixel = this.map.getPixelFromCoordinate(flip(point));
    const [width, height] = this.map.getSize() ?? [0, 0];
    const [x, y] = pixel ?? [0, 0];
    const isSeen = x! > 0 && y! > 0 && x! < width! && y! < height!;
    if (!isSeen) this.map.getView().setCenter(flip(point));
  }

  private draw(record: ReadyRaster, resolution: number): void {
    const [x, y] = flip(this.cross!);
    const arm = ARM * resolution;
    const arms = new MultiLineString([
      new LineString([[x - arm, y], [x + arm, y]]),
      new LineString([[x, y - arm], [x, y + arm]]),
    ]);
    const box = this.corner && boxBetween(this.corner, this.cross!, record);
    this.source.clear();
    this.source.addFeature(new Feature(arms));
    if (box) this.source.addFeature(new Feature(new Polygon([ringOf(box)])));
  }
}
