"""Evaluate a checkpoint: `python -m speaker_id.eval checkpoint=RUN data.test_list=test.tsv` or `trials=trials.txt`."""

import logging
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import hydra
import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from speaker_id import build, checkpoint
from speaker_id.commandline import reported, run_command
from speaker_id.contracts import BackEnd
from speaker_id.evaluation import counted, identification, identification_results, output, stress
from speaker_id.evaluation.back_end import check_cohort
from speaker_id.evaluation.embedding import Crop, HowToEmbed
from speaker_id.evaluation.figures import HowToMeasure
from speaker_id.evaluation.follow_ups import check_stress, one_against_many, under_stress
from speaker_id.evaluation.inputs import InputFiles, Inputs, read_inputs
from speaker_id.evaluation.leakage import check_leakage
from speaker_id.evaluation.pipeline import HowToScore, Scored, evaluation_of, score
from speaker_id.evaluation.results import facts_of, model_card
from speaker_id.evaluation.speakers import Facts, speaker_facts
from speaker_id.evaluation.trial_rows import trial_rows
from speaker_id.pretrained.catalogue import model_path
from speaker_id.report.evaluation import Evaluation, Leakage, ModelCard
from speaker_id.report.speaker_map import check_projection

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What is evaluated and how: all that can be refused before minutes of embedding."""

    loaded: checkpoint.LoadedModel
    inputs: Inputs
    back_end: BackEnd
    scoring: HowToScore
    measuring: HowToMeasure
    speaker_facts: Facts
    leakage: Leakage
    card: ModelCard


def evaluate(config: DictConfig) -> float:
    """Embed, score, print one table, write metrics.json and the files of `output`; returns the EER."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    plan = planned(config)
    if counted.is_too_long(plan.inputs, config.max_exact_trials):
        return evaluate_counted(plan, folder)
    rows = trial_rows(plan.inputs)
    scored = score(plan.loaded, plan.inputs, rows, plan.back_end, plan.scoring)
    evaluation = evaluation_of(scored, plan.measuring, leakage=plan.leakage, card=plan.card, facts=plan.speaker_facts)
    output.write_files(evaluation, folder)
    rich.get_console().print(output.evaluation_table(evaluation, point_of_model=plan.loaded.operating_point))
    follow_up(config, scored, evaluation, plan.measuring, folder)
    logger.info("metrics.json, scores.tsv and the plots (det.png, ...) lie in %s", folder)
    return evaluation.figure("eer").value


def evaluate_counted(plan: Plan, folder: Path) -> float:
    """The same for more pairs than can be kept: metrics.json alone."""
    counts = counted.count_pairs(plan.loaded, plan.inputs, plan.back_end, plan.scoring)
    figures, found = counted.measure_counts(counts, target_fpr=plan.measuring.target_fpr)
    facts = facts_of(
        plan.card,
        plan.leakage,
        num_recordings=len(plan.inputs.data.utterances),
        back_end=str(plan.back_end),
        crop=str(plan.scoring.embed.crop),
        operating_point=None,
    )
    output.write_counted(figures, found, folder, facts)
    rich.get_console().print(output.counted_table(figures, found))
    logger.info("metrics.json lies in %s", folder)
    return found.eer


def planned(config: DictConfig) -> Plan:
    measuring = HowToMeasure(config.target_fpr, config.interval_draws, config.seed).checked()
    scoring = how_to_score(config)
    loaded = checkpoint.load(model_path(config.checkpoint))
    back_end: BackEnd = build.instantiate(config.backend)
    inputs = inputs_of(config, back_end, leaf=scoring.leaf)
    check_follow_ups(config, loaded, inputs)
    model = str(config.checkpoint)
    return Plan(
        loaded,
        inputs,
        back_end,
        scoring,
        measuring,
        speaker_facts(config.data.speakers, beside=inputs.data.source, speakers=inputs.data.speakers),
        check_leakage(inputs.data, loaded.seen, inputs.cohort, allowed=config.allow_leakage, model=model),
        model_card(loaded, inputs, checkpoint=model, command=command_line(), now=datetime.now(UTC)),
    )


def inputs_of(config: DictConfig, back_end: BackEnd, *, leaf: str) -> Inputs:
    data = config.data
    files = InputFiles(data.test_list, config.trials, data.models, data.cohort_list, data.root)
    inputs = read_inputs(files)
    return inputs._replace(cohort=check_cohort(back_end, inputs.cohort, leaf=leaf))


def how_to_score(config: DictConfig) -> HowToScore:
    data = config.data
    embed = HowToEmbed(
        device=config.device,
        min_seconds=data.min_seconds,
        max_seconds=data.max_seconds,
        batch_seconds=data.batch_seconds,
        num_workers=data.num_workers,
        crop=Crop(config.crop.kind, config.crop.seconds, config.crop.num),
    )
    return HowToScore(embed, config.enrolment, HydraConfig.get().runtime.choices["backend"]).checked()


def check_follow_ups(config: DictConfig, loaded: checkpoint.LoadedModel, inputs: Inputs) -> None:
    """Refuse what `follow_up` could not do."""
    wanted = [name for name in ("report", "stress", "identification") if config[name]]
    if counted.is_too_long(inputs, config.max_exact_trials):
        counted.refuse_every_score(len(inputs.data.utterances), wanted)
    if config.report:
        check_projection(config.report_map)
    if config.stress:
        check_stress(loaded, inputs, build.plain(config.stress_conditions), noise=config.stress_noise, seed=config.seed)
    if config.identification:
        identification_options(config)


def follow_up(config: DictConfig, scored: Scored, evaluation: Evaluation, how: HowToMeasure, folder: Path) -> None:
    """Whatever of identification, stress and report is wanted."""
    console = rich.get_console()
    if config.identification:
        galleries = one_against_many(scored, identification_options(config), how)
        identification_results.write_identification(folder, galleries)
        console.print(identification_results.identification_table(galleries))
    if config.stress:
        results = under_stress(scored, build.plain(config.stress_conditions), how, noise=config.stress_noise)
        stress.write_stress(folder, results)
        console.print(stress.stress_table(results))
        evaluation = replace(evaluation, stress=results)
    if config.report:
        from speaker_id.report.page import write_report

        page = write_report(evaluation, folder, with_audio=config.report_audio, projection=config.report_map)
        logger.info("the report to look at: %s", page)


def identification_options(config: DictConfig) -> identification.Options:
    return identification.Options(**build.plain(config.identification_options)).checked()


def command_line() -> str:
    """The command as typed, but for options of Hydra's own."""
    return shlex.join(["python", "-m", "speaker_id.eval", *HydraConfig.get().overrides.task])


@hydra.main(version_base="1.3", config_path=str(build.CONF_DIR), config_name="eval")
@reported
def run(config: DictConfig) -> float:
    return evaluate(config)


def main() -> None:
    run_command(run, config_name="eval")


if __name__ == "__main__":
    main()
