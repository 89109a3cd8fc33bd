//! `#[derive(Module)]`: a struct whose fields are layers, parameters and plain values becomes a `wgtorch::nn::Module`.
//!
//! The generated code calls nothing but these traits, which `wgtorch::nn` defines:
//! ```
//! # pub struct Tensor;
//! /// Receives what a module holds, in the order of its fields.
//! pub trait Visitor {
//!     fn parameter(&mut self, name: &str, parameter: &Tensor);
//!     fn buffer(&mut self, name: &str, buffer: &Tensor, persistent: bool);
//!     fn module(&mut self, name: &str, module: &dyn Module);
//! }
//! pub trait Module {
//!     /// The type's name, `Net`.
//!     fn name(&self) -> &str;
//!     /// Shows the visitor every field.
//!     fn fields(&self, visitor: &mut dyn Visitor);
//!     /// What goes between the brackets when it prints.
//!     fn extra_repr(&self) -> String { String::new() }
//! }
//! /// Types that a module's field can have: parameters, buffers, every `Module`, `Vec`, `Option`, `Box` and tuples of
//! /// those, and plain data (numbers, bools, strings, `PhantomData`), which visits nothing.
//! pub trait Field {
//!     fn visit(&self, name: &str, visitor: &mut dyn Visitor);
//! }
//! /// The text that the derived `Display` writes.
//! pub fn repr(module: &dyn Module) -> String { module.name().to_string() }
//! ```
//! Attributes of the struct: `#[module(name = "Net")]` (the name it prints under), `#[module(extra_repr = "method")]`.
//! Attributes of a field: `#[module(skip)]` (not looked at, so its type needs no `Field`), `#[module(name = "0")]` (its
//! name in `state_dict`), `#[module(buffer)]` (a `Tensor`, or an `Option` of one, that is saved but not trained) and
//! `#[module(buffer, persistent = false)]` (nor saved).

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Field, Index, LitBool, LitStr, Result, parse_macro_input};

/// Implements `wgtorch::nn::Module` for a struct, and `Display` to print it as PyTorch does: its fields become children, parameters and buffers under their names.
///
/// `#[module(skip)]` leaves a field out, `#[module(name = "…")]` renames it (or the struct), `#[module(buffer)]` and
/// `#[module(buffer, persistent = false)]` make a tensor a buffer, `#[module(extra_repr = "method")]` on the struct
/// names the `fn(&self) -> String` that prints its settings.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// What `#[module(…)]` can say, about a struct or a field.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    extra_repr: Option<LitStr>,
    skip: Option<syn::Path>,
    buffer: Option<syn::Path>,
    persistent: Option<LitBool>,
}

impl Options {
    fn of(attributes: &[Attribute]) -> Result<Options> {
        let mut o = Options::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match &key[..] {
                    "name" => o.name = Some(meta.value()?.parse()?),
                    "extra_repr" => o.extra_repr = Some(meta.value()?.parse()?),
                    "skip" => o.skip = Some(meta.path.clone()),
                    "buffer" => o.buffer = Some(meta.path.clone()),
                    "persistent" => o.persistent = Some(meta.value()?.parse()?),
                    _ => {
                        return Err(meta.error(
                            "unknown option: #[module(…)] takes skip, buffer, persistent, name on fields, \
                             and name, extra_repr on the struct",
                        ));
                    }
                }
                Ok(())
            })?;
        }
        Ok(o)
    }
}

fn refuse(what: Option<&impl Spanned>, message: &str) -> Result<()> {
    what.map_or(Ok(()), |w| Err(Error::new(w.span(), message)))
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    let fields = match &input.data {
        Data::Struct(s) => &s.fields,
        Data::Enum(e) => {
            let message = "Module can only be derived for structs: implement wgtorch::nn::Module for an enum by hand";
            return Err(Error::new(e.enum_token.span, message));
        }
        Data::Union(u) => return Err(Error::new(u.union_token.span, "Module cannot be derived for a union")),
    };
    let options = Options::of(&input.attrs)?;
    for field_only in [&options.skip, &options.buffer] {
        refuse(field_only.as_ref(), "this option belongs on a field")?;
    }
    refuse(options.persistent.as_ref(), "this option belongs on a field")?;

    let ident = &input.ident;
    let name = options.name.as_ref().map_or_else(|| bare(ident), LitStr::value);
    let extra_repr = options.extra_repr.as_ref().map(|method| -> Result<Tokens> {
        let method: syn::Ident = method.parse()?;
        Ok(quote!(fn extra_repr(&self) -> ::std::string::String { self.#method() }))
    });
    let extra_repr = extra_repr.transpose()?;
    let visits = fields.iter().enumerate().map(|(i, f)| visit(i, f)).collect::<Result<Vec<Tokens>>>()?;

    // A type parameter that is a field's type has to be a field; where clauses on other types would be noise.
    let mut generics = input.generics.clone();
    let parameters: Vec<syn::Ident> = generics.type_params().map(|p| p.ident.clone()).collect();
    for f in fields {
        let skipped = Options::of(&f.attrs)?.skip.is_some();
        let own = |id: &syn::Ident| parameters.iter().any(|p| p == id);
        if !skipped && mentions(f.ty.to_token_stream(), &own) {
            let ty = &f.ty;
            generics.make_where_clause().predicates.push(syn::parse_quote!(#ty: ::wgtorch::nn::Field));
        }
    }
    let (implementation, types, clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #implementation ::wgtorch::nn::Module for #ident #types #clause {
            fn name(&self) -> &str {
                #name
            }
            fn fields(&self, visitor: &mut dyn ::wgtorch::nn::Visitor) {
                let _ = &visitor;
                #(#visits)*
            }
            #extra_repr
        }

        #[automatically_derived]
        impl #implementation ::core::fmt::Display for #ident #types #clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(&::wgtorch::nn::repr(self))
            }
        }
    })
}

/// The line that shows one field to the visitor.
fn visit(i: usize, field: &Field) -> Result<Tokens> {
    let options = Options::of(&field.attrs)?;
    refuse(options.extra_repr.as_ref(), "this option belongs on the struct")?;
    if let Some(skip) = &options.skip {
        if options.name.is_some() || options.buffer.is_some() || options.persistent.is_some() {
            return Err(Error::new(skip.span(), "a skipped field can have no other option"));
        }
        return Ok(Tokens::new());
    }
    if options.buffer.is_none() {
        refuse(
            options.persistent.as_ref(),
            "only a buffer can be persistent or not: #[module(buffer, persistent = …)]",
        )?;
    }
    if let Some(name) = options.name.as_ref().filter(|n| n.value().is_empty() || n.value().contains('.')) {
        return Err(Error::new(name.span(), "a module's name may neither be empty nor contain a dot"));
    }
    let member = match &field.ident {
        Some(ident) => ident.to_token_stream(),
        None => Index { index: i as u32, span: field.span() }.to_token_stream(),
    };
    let name = match (&options.name, &field.ident) {
        (Some(name), _) => name.value(),
        (None, Some(ident)) => bare(ident),
        (None, None) => i.to_string(),
    };
    // The field's span, so that a missing trait is reported at the field.
    let span = field.ty.span();
    Ok(if options.buffer.is_some() {
        let persistent = options.persistent.as_ref().is_none_or(LitBool::value);
        if is_option(&field.ty) {
            return Ok(quote::quote_spanned! {span=>
                if let ::core::option::Option::Some(buffer) = &self.#member {
                    ::wgtorch::nn::Visitor::buffer(visitor, #name, buffer, #persistent);
                }
            });
        }
        quote::quote_spanned!(span=> ::wgtorch::nn::Visitor::buffer(visitor, #name, &self.#member, #persistent);)
    } else {
        quote::quote_spanned!(span=> ::wgtorch::nn::Field::visit(&self.#member, #name, visitor);)
    })
}

/// True for `Option<…>`, as far as its spelling tells.
fn is_option(ty: &syn::Type) -> bool {
    matches!(ty, syn::Type::Path(p) if p.path.segments.last().is_some_and(|s| s.ident == "Option"))
}

/// An identifier without the `r#` that keywords need.
fn bare(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_string).unwrap_or(text)
}

/// True where the tokens hold an identifier that the test accepts.
fn mentions(tokens: Tokens, test: &impl Fn(&syn::Ident) -> bool) -> bool {
    tokens.into_iter().any(|t| match t {
        proc_macro2::TokenTree::Ident(id) => test(&id),
        proc_macro2::TokenTree::Group(g) => mentions(g.stream(), test),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn text(input: DeriveInput) -> String {
        expand(&input).unwrap().to_string().replace(' ', "")
    }

    fn error(input: DeriveInput) -> String {
        expand(&input).unwrap_err().to_string()
    }

    #[test]
    fn fields_are_visited_in_order_under_their_names() {
        let t = text(parse_quote! {
            #[module(extra_repr = "settings")]
            struct Net { conv1: Conv2d, r#type: Linear, #[module(name = "0")] first: Linear, #[module(skip)] f: fn() }
        });
        let calls: Vec<usize> = ["&self.conv1,\"conv1\"", "&self.r#type,\"type\"", "&self.first,\"0\""]
            .iter()
            .map(|call| t.find(call).unwrap_or_else(|| panic!("{call} in {t}")))
            .collect();
        assert!(calls.is_sorted());
        assert!(!t.contains("self.f,") && t.contains("{\"Net\"}") && t.contains("{self.settings()}"));
    }

    #[test]
    fn tuple_structs_buffers_and_generics() {
        let t = text(parse_quote! {
            #[module(name = "Pair")]
            struct P<M, const N: usize>(Vec<M>, #[module(buffer, persistent = false)] Tensor, Linear) where M: Clone;
        });
        assert!(t.contains("Field::visit(&self.0,\"0\",visitor)") && t.contains("&self.2,\"2\""));
        assert!(t.contains("Visitor::buffer(visitor,\"1\",&self.1,false)") && t.contains("{\"Pair\"}"));
        assert!(t.contains("M:Clone,Vec<M>:::wgtorch::nn::Field") && !t.contains("Linear:::wgtorch"));
        assert!(
            text(parse_quote!(
                struct Unit;
            ))
            .contains("\"Unit\"")
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            error(parse_quote!(
                enum E {
                    A,
                }
            ))
            .contains("only be derived for structs")
        );
        assert!(error(parse_quote!(union U { a: u8 })).contains("union"));
        assert!(
            error(parse_quote!(
                struct S {
                    #[module(skp)]
                    a: u8,
                }
            ))
            .contains("unknown option")
        );
        assert!(
            error(parse_quote!(
                struct S {
                    #[module(skip, buffer)]
                    a: u8,
                }
            ))
            .contains("no other option")
        );
        assert!(
            error(parse_quote!(
                struct S {
                    #[module(persistent = true)]
                    a: u8,
                }
            ))
            .contains("only a buffer")
        );
        assert!(
            error(parse_quote!(
                struct S {
                    #[module(name = "a.b")]
                    a: u8,
                }
            ))
            .contains("dot")
        );
        assert!(
            error(parse_quote!(
                #[module(skip)]
                struct S {
                    a: u8,
                }
            ))
            .contains("on a field")
        );
        assert!(
            error(parse_quote!(
                struct S {
                    #[module(extra_repr = "x")]
                    a: u8,
                }
            ))
            .contains("on the struct")
        );
    }
}
