/* What the programs of a session share. Part of engine.c, for it needs QuickJS's own source in view.

   A session's program is compiled with the type GLOBAL, which nothing else here is: its let, const and class are looked up
   by name, as var and function are, so the next program sees them. Three things are unlike a page's scripts: a name may be
   declared again, `return` may stand outside functions, and what a module declares is seen too. */

/* Whether the running function is a whole program: eval code of a program's own is never asynchronous. */
static bool in_program(JSContext *ctx)
{
    JSStackFrame *frame = ctx->rt->current_stack_frame;
    JSObject *function = frame ? JS_VALUE_GET_OBJ(frame->cur_func) : NULL;
    return function && js_class_has_bytecode(function->class_id)
        && function->u.func.function_bytecode->func_kind == JS_FUNC_ASYNC;
}

/* A name that an earlier program declared is no redeclaration. */
static int engine_check_define(JSContext *ctx, JSAtom name, int flags)
{
    if (find_own_property1(JS_VALUE_GET_OBJ(ctx->global_var_obj), name) && in_program(ctx))
        return 0;
    return JS_CheckDefineGlobalVar_(ctx, name, flags);
}

/* Without the flag CONFIGURABLE it is a session's program that declares. */
static void make_room_for(JSContext *ctx, JSAtom name, int flags)
{
    if (!(flags & JS_PROP_CONFIGURABLE))
        JS_DeleteProperty(ctx, ctx->global_var_obj, name, 0);
}

static int engine_define_var(JSContext *ctx, JSAtom name, int flags)
{
    make_room_for(ctx, name, flags);
    return JS_DefineGlobalVar_(ctx, name, flags | JS_PROP_CONFIGURABLE);
}

static int engine_define_function(JSContext *ctx, JSAtom name, JSValue function, int flags)
{
    make_room_for(ctx, name, flags);
    return JS_DefineGlobalFunction_(ctx, name, function, flags | JS_PROP_CONFIGURABLE);
}

/* `return value` of a program: what the program's end would give for a last expression. */
static int engine_parse_return(JSParseState *s)
{
    JSFunctionDef *program = s->cur_func;
    if (s->is_module || program->eval_type != JS_EVAL_TYPE_GLOBAL)
        return js_parse_error(s, "return not in a function");
    if (next_token(s))
        return -1;
    if (s->token.val == ';' || s->token.val == '}' || s->token.val == TOK_EOF || s->got_lf)
        emit_op(s, OP_undefined);
    else if (js_parse_expr(s))
        return -1;
    emit_op(s, OP_put_loc);
    emit_u16(s, program->eval_ret_idx);
    emit_op(s, OP_object);
    emit_op(s, OP_dup);
    emit_op(s, OP_get_loc);
    emit_u16(s, program->eval_ret_idx);
    emit_op(s, OP_put_field);
    emit_atom(s, JS_ATOM_value);
    emit_return(s, true);
    return js_parse_expect_semi(s);
}

static void forget_unless_set(JSContext *ctx, JSAtom name, JSAtom inputs)
{
    JSProperty *property;
    if (find_own_property(&property, JS_VALUE_GET_OBJ(ctx->global_var_obj), name)
        && (name == inputs || JS_IsUninitialized(property->u.value)))
        JS_DeleteProperty(ctx, ctx->global_var_obj, name, 0);
}

/* Forgets declarations that the program never reached, and an `inputs` of its own, which would hide the next one's. */
static void forget_declarations(JSContext *ctx)
{
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNames(ctx, &names, &count, ctx->global_var_obj, JS_GPN_STRING_MASK) < 0)
        return;
    JSAtom inputs = JS_NewAtom(ctx, "inputs");
    for (uint32_t i = 0; i < count; i++)
        forget_unless_set(ctx, names[i].atom, inputs);
    JS_FreeAtom(ctx, inputs);
    JS_FreePropertyEnum(ctx, names, count);
}

static void drop_jobs(JSContext *ctx)
{
    struct list_head *at, *next;
    list_for_each_safe(at, next, &ctx->rt->job_list) {
        JSJobEntry *job = list_entry(at, JSJobEntry, link);
        list_del(&job->link);
        for (int i = 0; i < job->argc; i++)
            JS_FreeValue(ctx, job->argv[i]);
        js_free(ctx, job);
    }
}

void engine_end_program(JSContext *ctx)
{
    drop_jobs(ctx);
    forget_declarations(ctx);
}

static void share(JSContext *ctx, JSClosureVar *variable, JSVarRef *reference)
{
    int flags = JS_PROP_ENUMERABLE | JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE | JS_PROP_VARREF;
    if (variable->var_name == JS_ATOM__default_ || JS_IsUninitialized(*reference->pvalue))
        return;
    JS_DeleteProperty(ctx, ctx->global_var_obj, variable->var_name, 0);
    if (JS_DeleteProperty(ctx, ctx->global_obj, variable->var_name, 0) <= 0)
        return;
    JSProperty *property = add_property(ctx, JS_VALUE_GET_OBJ(ctx->global_obj), variable->var_name, flags);
    if (!property)
        return;
    JS_REF_COUNT(reference)++;
    property->u.var_ref = reference;
}

/* The variables of a module that was evaluated become properties of the global object: the same variables, not copies. */
void engine_share_module(JSContext *ctx, JSModuleDef *module)
{
    if (!JS_IsFunction(ctx, module->func_obj))
        return;
    JSObject *function = JS_VALUE_GET_OBJ(module->func_obj);
    JSFunctionBytecode *code = function->u.func.function_bytecode;
    for (int i = 0; i < code->closure_var_count; i++)
        if (code->closure_var[i].closure_type == JS_CLOSURE_MODULE_DECL)
            share(ctx, &code->closure_var[i], function->u.func.var_refs[i]);
}
