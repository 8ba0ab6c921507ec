/** Where the page begins. */
import "./style/tokens.css";
import "./style/layout.css";
import "./style/controls.css";
import "./style/captions.css";
import "./style/lists.css";
import "./style/classes.css";
import "./style/map.css";
import "./style/dialogs.css";
import { render } from "preact";
import { onMissingToken } from "./api/http";
import { watchLine } from "./state/line";
import { start } from "./state/opening";
import { wantsToken } from "./state/store";
import { Page } from "./ui/page";

onMissingToken(() => (wantsToken.value = true));
render(<Page />, document.getElementById("page")!);
watchLine();
void start();
