/* commands.h: the commands of the program, one file each; argv[0] is the command's name.
 * Each returns the exit status: 0 done, 1 failed, 2 wrong use or invalid file, 130 interrupted. */
#ifndef TL_CLI_COMMANDS_H
#define TL_CLI_COMMANDS_H

int tl_cmd_bench(int argc, char **argv);
int tl_cmd_bench_llm(int argc, char **argv); /* `teola bench llm` */
int tl_cmd_bench_workflow(int argc, char **argv); /* `teola bench workflow` */
int tl_cmd_doctor(int argc, char **argv);
int tl_cmd_draw(int argc, char **argv);
int tl_cmd_emulate(int argc, char **argv);
int tl_cmd_explain(int argc, char **argv);
int tl_cmd_index(int argc, char **argv);
int tl_cmd_models(int argc, char **argv);
int tl_cmd_models_tune(int argc, char **argv); /* `teola models tune` */
int tl_cmd_profile(int argc, char **argv);
int tl_cmd_run(int argc, char **argv);
int tl_cmd_sim(int argc, char **argv);
int tl_cmd_validate(int argc, char **argv);

#endif
